// Package ldvprocessor is a processor of the OpenTelemetry Collector that makes of spans what may be stored: for the
// Logboek Dataverwerkingen the fields of the standard with a pseudonym in the place of each data subject, for a tracing
// backend every span without its data subject.
package ldvprocessor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processorhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
)

const (
	forLogboek         = "logboek"
	forTracing         = "tracing"
	minimumSecretBytes = 32
	// An address that exists nowhere, as in the SDK.
	unknownCaller = "https://onbekende-aanroeper.invalid/"
)

// Config is what stands below `ldv` in a Collector's configuration.
type Config struct {
	// Output is where the spans go next: `logboek` or `tracing`.
	Output string `mapstructure:"output"`
	// KeyID and KeySecret are the active key of the SDK's key file; for the Logboek only.
	KeyID     string              `mapstructure:"key_id"`
	KeySecret configopaque.String `mapstructure:"key_secret"`
	// StrayBSN is what becomes of a BSN in a text of a record that nobody named as its data subject (LDV-N14): `redact`,
	// `flag` or `refuse`. A tracing backend never gets one.
	StrayBSN string `mapstructure:"stray_bsn"`
	// StrayBSNExcept names attributes, with commas, in which none is looked for; `name` is the name of a span.
	StrayBSNExcept string `mapstructure:"stray_bsn_except"`
	// ResourceAttributes names attributes of a resource, with commas, that are kept beside the usual (LDV-N8); with a `*`
	// at its end a beginning of names.
	ResourceAttributes string `mapstructure:"resource_attributes"`
	// UnknownCallerURL stands for an application that called and that nobody knows (LDV-N10).
	UnknownCallerURL string `mapstructure:"unknown_caller_url"`
	// RegisterCheck is what becomes of a record whose activity the Register does not have (LDV-N15): `off`, `flag` or
	// `refuse`. Register is its file, as the SDK reads it; for the Logboek only.
	RegisterCheck string `mapstructure:"register_check"`
	Register      string `mapstructure:"register"`
	// TechnicalSpans is `keep`, or `drop` for spans that are no Acties; for the Logboek only.
	TechnicalSpans string `mapstructure:"technical_spans"`
	// Keep names attributes, with commas, that a tracing backend gets although anything may stand in them; `name` and
	// `status.message` are those of a span.
	Keep string `mapstructure:"keep"`
}

// Validate refuses a configuration with which no pseudonyms could be made, or not what it asks for.
func (c *Config) Validate() error {
	var problems []error
	if c.Output != forLogboek && c.Output != forTracing {
		problems = append(problems, errors.New("output must be `logboek` or `tracing`"))
	}
	if !slices.Contains([]string{"redact", "flag", "refuse"}, c.StrayBSN) {
		problems = append(problems, errors.New("stray_bsn (LDV_STRAY_BSN) must be one of redact, flag, refuse"))
	}
	if !slices.Contains([]string{"off", "flag", "refuse"}, c.RegisterCheck) {
		problems = append(problems, errors.New("register_check (LDV_REGISTER_CHECK) must be one of off, flag, refuse"))
	} else if c.RegisterCheck != "off" && (c.Register == "" || strings.Contains(c.Register, "://")) {
		problems = append(problems, errors.New("register (LDV_REGISTER) must name a file on this machine when "+
			"register_check (LDV_REGISTER_CHECK) is not off; a Register behind a URL is fetched by a timer"))
	} else if c.RegisterCheck != "off" && c.Output == forLogboek {
		if _, err := newActivities(c.Register, zap.NewNop()); err != nil {
			problems = append(problems, err)
		}
	}
	if c.TechnicalSpans != "keep" && c.TechnicalSpans != "drop" {
		problems = append(problems, errors.New("technical_spans (LDV_TECHNICAL_SPANS) must be one of keep, drop"))
	}
	for name := range namesIn(c.ResourceAttributes) {
		if neverKept.MatchString(name) || !resourceForm.MatchString(name) {
			problems = append(problems, fmt.Errorf("resource_attributes (LDV_RESOURCE_ATTRIBUTES) names %q, which is no name "+
				"of an attribute, or of one that can hold a person or a secret", name))
		}
	}
	if c.Output == forLogboek && (len(c.KeySecret) < minimumSecretBytes || c.KeyID == "") {
		problems = append(problems, fmt.Errorf(
			"key_id (LDV_KEY_ID) and key_secret (LDV_KEY_SECRET, of at least %d bytes) must be the id and secret of the "+
				"active key in the key file of the services", minimumSecretBytes))
	}
	page, err := url.Parse(c.UnknownCallerURL)
	if c.Output == forLogboek && (err != nil || page.Scheme != "https" || page.Host == "" || page.User != nil) {
		problems = append(problems, errors.New("unknown_caller_url (LDV_UNKNOWN_CALLER_URL) must be an https address"))
	}
	return errors.Join(problems...)
}

// NewFactory makes the processor `ldv` known to a Collector.
func NewFactory() processor.Factory {
	return processor.NewFactory(
		component.MustNewType("ldv"),
		func() component.Config {
			return &Config{StrayBSN: "redact", RegisterCheck: "off", TechnicalSpans: "keep", UnknownCallerURL: unknownCaller}
		},
		processor.WithTraces(newProcessor, component.StabilityLevelBeta),
	)
}

func newProcessor(
	ctx context.Context, settings processor.Settings, config component.Config, next consumer.Traces,
) (processor.Traces, error) {
	given, ok := config.(*Config)
	if !ok {
		return nil, fmt.Errorf("%T is no configuration of the processor ldv", config)
	}
	process := newTracing(given).process
	if given.Output == forLogboek {
		flagged, err := newCounters(settings)
		if err != nil {
			return nil, err
		}
		made := newLogboek(given, flagged)
		if given.RegisterCheck != "off" {
			if made.register, err = newActivities(given.Register, settings.Logger); err != nil {
				return nil, err
			}
		}
		process = made.process
	}
	capabilities := processorhelper.WithCapabilities(consumer.Capabilities{MutatesData: true})
	return processorhelper.NewTraces(ctx, settings, config, next, process, capabilities)
}

// counters count what was normalised or refused, by flag.
type counters struct{ flags metric.Int64Counter }

func newCounters(settings processor.Settings) (*counters, error) {
	meter := settings.MeterProvider.Meter("example.org/ldv-otel/ldvprocessor")
	flags, err := meter.Int64Counter("otelcol_ldv_flags",
		metric.WithDescription("Records in which something was normalised, redacted or refused, by flag."),
		metric.WithUnit("{record}"))
	return &counters{flags}, err
}

// Only flags that are given here: those that a sender wrote could be any.
var counted = []string{
	flagCut, flagEmpty, flagFailed, flagForm, flagForeignID, flagRedacted, flagStray, flagTypeMissing, flagTypeUnknown,
	flagUnknownActivity,
}

func (c *counters) count(ctx context.Context, of *facts) {
	for _, flag := range counted {
		if of.flags[flag] {
			c.flags.Add(ctx, 1, metric.WithAttributes(attribute.String("flag", flag)))
		}
	}
	if of.refused {
		c.flags.Add(ctx, 1, metric.WithAttributes(attribute.String("flag", "refused")))
	}
}
