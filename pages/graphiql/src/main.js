import { start } from "../../shared/entry.js";

start(() => import("./page.jsx"), () => location.reload());
