import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

/** A server that keeps the headers of all requests and the hosts that it should open a tunnel to, as a proxy. */
export async function startRecorder() {
  const headers: IncomingHttpHeaders[] = [];
  const tunnels: (string | undefined)[] = [];
  const message = { role: "assistant", content: "An answer." };
  // In the shape of every provider at once.
  const answer = {
    id: "one",
    object: "chat.completion",
    choices: [{ index: 0, message, finish_reason: "stop" }],
    candidates: [{ content: { role: "model", parts: [{ text: message.content }] }, finishReason: "STOP" }],
    content: [{ type: "text", text: message.content }],
    stop_reason: "end_turn",
    usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12, input_tokens: 9, output_tokens: 3 },
    usageMetadata: { promptTokenCount: 9, candidatesTokenCount: 3, totalTokenCount: 12 },
  };
  const server = createServer((request, response) => {
    headers.push(request.headers);
    request.resume().on("end", () => {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
    });
  });
  server.on("connect", ({ url }, socket) => {
    tunnels.push(url);
    socket.destroy();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    headers,
    tunnels,
    connected: once(server, "connect"),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
