// A municipality's service in Node. Nothing here knows ldv_otel: it is OpenTelemetry as everybody uses it, and two
// attributes on the spans that are a processing of personal data.
import { context, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { registerInstrumentations } from "@opentelemetry/instrumentation";
import { HttpInstrumentation } from "@opentelemetry/instrumentation-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { createRequire } from "node:module";

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "gemeente-node" }),
  // OTEL_EXPORTER_OTLP_ENDPOINT says where the Collector is; by default http://localhost:4318.
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ timeoutMillis: 30_000 }))],
});
provider.register();
registerInstrumentations({ instrumentations: [new HttpInstrumentation()] });
const http = createRequire(import.meta.url)("node:http"); // after the instrumentation, which wraps it
const tracer = trace.getTracer("gemeente");

function get(url) {
  return new Promise((resolve, reject) => {
    http.get(url, (answer) => answer.resume().on("end", () => resolve(answer.statusCode))).on("error", reject);
  });
}

await tracer.startActiveSpan("Wijzig kenteken", async (span) => {
  span.setAttribute("dpl.core.processing_activity_id", "https://register.example/activiteiten/parkeren");
  span.setAttribute("dpl.core.data_subject_id", process.env.BSN ?? "123456782");
  span.setAttribute("dpl.core.data_subject_id_type", "BSN");
  try {
    // Another organisation's service; the HTTP instrumentation puts a span of its own in between.
    if (process.env.RDW_URL) await get(process.env.RDW_URL);
  } finally {
    span.end();
  }
  console.log(trace.getSpan(context.active()).spanContext().traceId);
});
await provider.forceFlush();
await provider.shutdown();
