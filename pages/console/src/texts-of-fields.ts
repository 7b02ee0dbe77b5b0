// Lists of a key as the texts of form fields, and back.
import type { APIKeyTagInput } from "./operations.generated.ts";

export function readScopes(text: string): string[] {
  return text.split(/\s+/).filter(Boolean);
}

export function readAddresses(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** Lines of `name=value`; a line without a value is left to the service, which refuses it. */
export function readTags(text: string): APIKeyTagInput[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .map((line) => {
      const [name = "", ...rest] = line.split("=");
      return { name: name.trim(), value: rest.join("=").trim() };
    });
}

export function tagsText(tags: readonly APIKeyTagInput[]): string {
  return tags.map(({ name, value }) => `${name}=${value}`).join("\n");
}
