// Embeds texts with a paravec server and prints a line of JSON for each. Needs only the server's .proto files.
//
//     npm ci
//     node embed.mjs "how do I print a page?" "another text"
//
// Variables: PARAVEC_TARGET, the server's address [localhost:50051]; PARAVEC_TOKEN, a bearer token, if the server
// requires one; PARAVEC_TLS_CA, a PEM file of certificate authorities, if it uses TLS.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const definition = loader.loadSync("paravec/v1/embedding.proto", {
  includeDirs: [here("../../../proto"), here(".")],
  keepCase: true,
  enums: String,
  defaults: true,
});
const { paravec } = grpc.loadPackageDefinition(definition);

// Balances calls over all pods of a headless Service and retries elsewhere if one is not ready. grpc-js waits as long
// as an overloaded server asks it to by the trailer grpc-retry-pushback-ms.
const config = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [{ service: "paravec.v1.EmbeddingService" }],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.1s",
        maxBackoff: "2s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
      },
    },
  ],
};

function connect({ PARAVEC_TARGET: target, PARAVEC_TLS_CA: authorities }) {
  const credentials = authorities
    ? grpc.credentials.createSsl(readFileSync(authorities))
    : grpc.credentials.createInsecure();
  return new paravec.v1.EmbeddingService(target ?? "localhost:50051", credentials, {
    "grpc.service_config": JSON.stringify(config),
    "grpc.keepalive_time_ms": 10_000,
    "grpc.max_receive_message_length": -1,
  });
}

function embed(client, texts, { PARAVEC_TOKEN: token }) {
  const metadata = new grpc.Metadata();
  if (token) metadata.set("authorization", `Bearer ${token}`);
  const request = { documents: texts.map((text) => ({ text })) };
  return new Promise((resolve, reject) => {
    client.Embed(request, metadata, { deadline: Date.now() + 30_000 }, (error, response) =>
      error ? reject(error) : resolve(response),
    );
  });
}

// The invalid fields and what is wrong with them, from the google.rpc.BadRequest in the status details.
function violations(error) {
  const decode = (type, bytes) => definition[type].deserialize(bytes);
  return error.metadata.get("grpc-status-details-bin").flatMap((bytes) =>
    decode("google.rpc.Status", bytes)
      .details.filter((detail) => detail.type_url.endsWith("/google.rpc.BadRequest"))
      .flatMap((detail) => decode("google.rpc.BadRequest", detail.value).field_violations),
  );
}

const texts = process.argv.slice(2);
const client = connect(process.env);
try {
  const { embeddings, model } = await embed(client, texts, process.env);
  embeddings.forEach((embedding, i) =>
    console.log(JSON.stringify({ text: texts[i], ...embedding, model: model.version })),
  );
} catch (error) {
  console.error(`embed.mjs: ${grpc.status[error.code]}: ${error.details}`);
  for (const { field, description } of violations(error)) console.error(`  ${field} ${description}`);
  process.exitCode = 1;
} finally {
  client.close();
}
