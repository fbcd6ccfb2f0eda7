// The AI SDK through llmux: a tool loop, whole and streamed. arguments: install directory, base URL, key, model, wire, prompt.
import { execSync } from "node:child_process";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [dir, base, key, model, wire, prompt] = process.argv.slice(2);
const require = createRequire(dir + "/package.json");
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { generateText, streamText, tool, stepCountIs } = await load("ai");
const { z } = await load("zod");
const options = { baseURL: base + "/v1", apiKey: key };
const models = {
  chat: async () => (await load("@ai-sdk/openai")).createOpenAI(options).chat(model),
  responses: async () => (await load("@ai-sdk/openai")).createOpenAI(options)(model),
  anthropic: async () => (await load("@ai-sdk/anthropic")).createAnthropic(options)(model),
  compatible: async () => (await load("@ai-sdk/openai-compatible")).createOpenAICompatible({ name: "llmux", ...options })(model),
};
const bash = tool({
  description: "Runs a shell command and gives its output.",
  inputSchema: z.object({ command: z.string() }),
  execute: async ({ command }) => execSync(command).toString(),
});
const asked = {
  model: await models[wire](),
  prompt,
  tools: { bash },
  stopWhen: stepCountIs(6),
  // By responses: earlier items are sent again rather than referred to, for llmux keeps none.
  providerOptions: { openai: { store: false } },
};

const whole = await generateText(asked);
console.log(whole.text);
const stream = streamText({ ...asked, onError: ({ error }) => { throw error; } });
for await (const _ of stream.textStream);
console.log(await stream.text);
if (!(whole.usage.inputTokens > 0)) throw new Error("no usage was reported");
