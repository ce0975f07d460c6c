// What users of the package openai for Node run. Arguments: the URL of an Envoy, its API key, a model, and texts.
// Prints a line of JSON.
import OpenAI from "openai";

const [baseURL, apiKey, model, ...input] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey });
try {
  const { data } = await client.embeddings.create({ model, input });
  console.log(JSON.stringify({ vectors: data.map((entry) => entry.embedding) }));
} catch (error) {
  console.log(JSON.stringify({ error: error.constructor.name, code: error.code }));
}
