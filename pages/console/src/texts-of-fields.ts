// Lists of a key as the texts of form fields, and back.
import type { APIKeyTagInput } from "./operations.generated.ts";

export function readScopes(text: string): string[] {
  return text.split(/\s+/).filter(Boolean);
}

export function readAddresses(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** Lines of `name=value`, in which `\=` is a `=` of the name; the service refuses a line without a value. */
export function readTags(text: string): APIKeyTagInput[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .map((line) => {
      const [, name = "", value = ""] = /^((?:\\[\\=]|[^=])*)=?(.*)$/s.exec(line) ?? [];
      return { name: name.trim().replace(/\\([\\=])/g, "$1"), value: value.trim() };
    });
}

export function tagsText(tags: readonly APIKeyTagInput[]): string {
  return tags.map(({ name, value }) => `${name.replace(/\\(?=[\\=]|$)|=/g, "\\$&")}=${value}`).join("\n");
}
