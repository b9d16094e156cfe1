// Writes spans through the Collector's own file exporter, in each of its forms.
package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func spans(number byte) ptrace.Traces {
	traces := ptrace.NewTraces()
	resource := traces.ResourceSpans().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "balie")
	span := resource.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetTraceID(pcommon.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	span.SetSpanID(pcommon.SpanID{0, 0, 0, 0, 0, 0, 0, number})
	span.SetName("Wijzig kenteken")
	span.SetStartTimestamp(pcommon.Timestamp(1745333267994934004 + uint64(number)))
	span.SetEndTimestamp(pcommon.Timestamp(1745333268122326588))
	span.Attributes().PutStr("dpl.core.processing_activity_id", "https://register.example/activiteiten/parkeren")
	return traces
}

func main() {
	for name, settings := range map[string]map[string]any{
		"json":      {"format": "json"},
		"json-zstd": {"format": "json", "compression": "zstd"},
		"proto":     {"format": "proto"},
		"proto-zstd": {"format": "proto", "compression": "zstd"},
	} {
		factory := fileexporter.NewFactory()
		config := factory.CreateDefaultConfig()
		settings["path"] = filepath.Join(os.Args[1], name)
		if err := confmap.NewFromStringMap(settings).Unmarshal(config); err != nil {
			panic(err)
		}
		exporter, err := factory.CreateTraces(context.Background(), exportertest.NewNopSettings(factory.Type()), config)
		if err != nil {
			panic(err)
		}
		if err := exporter.Start(context.Background(), componenttest.NewNopHost()); err != nil {
			panic(err)
		}
		for number := byte(1); number <= 3; number++ {
			if err := exporter.ConsumeTraces(context.Background(), spans(number)); err != nil {
				panic(err)
			}
		}
		if err := exporter.Shutdown(context.Background()); err != nil {
			panic(err)
		}
	}
}
