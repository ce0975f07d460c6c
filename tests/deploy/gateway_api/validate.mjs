// Reads a GRPCRoute as JSON from standard input, and prints what is wrong with it by the Gateway API's schema.
import { readFileSync } from "node:fs";
import { GRPCRoute } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/GRPCRoute";

try {
  new GRPCRoute(JSON.parse(readFileSync(0, "utf8"))).validate();
} catch (error) {
  console.log(error.message);
}
