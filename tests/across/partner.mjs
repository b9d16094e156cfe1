// A party in another language that knows W3C Trace Context and nothing of ours: it serves a call, passes `tracestate` on
// as it came, and calls with span ids of its own.
import { randomBytes } from "node:crypto";
import http from "node:http";

const id = (bytes) => randomBytes(bytes).toString("hex");

function call(url, headers) {
  return new Promise((resolve, reject) => {
    http.get(url, { headers }, (answer) => answer.resume().on("end", resolve)).on("error", reject);
  });
}

const server = http.createServer(async (request, response) => {
  const [, traceId, parentId, flags] = (request.headers.traceparent ?? "").split("-");
  const back = request.headers["x-back"];
  const [middle, ownTrace, own] = [id(8), id(16), id(8)];
  // In the middle of the caller's trace,
  const passedOn = request.headers.tracestate ? { tracestate: request.headers.tracestate } : {};
  await call(`${back}/middle`, { traceparent: `00-${traceId}-${middle}-${flags}`, ...passedOn });
  // and at the beginning of one of its own.
  await call(`${back}/own`, { traceparent: `00-${ownTrace}-${own}-01`, tracestate: "congo=t61rcWkgMzE" });
  response.end(JSON.stringify({ traceId, parentId, middle, ownTrace, own, tracestate: request.headers.tracestate ?? "" }));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
