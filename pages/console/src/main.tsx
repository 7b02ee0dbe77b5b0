import { start } from "../../shared/entry.js";

void start(() => import("./app.tsx"), () => undefined); // the console follows the key by itself
