// Where one is: the part behind `#/`, so that the server has one page only.
import { Store } from "./store";

export interface Route { page: string; rest: string[] }

function read(): Route {
  const parts = location.hash.replace(/^#\/?/, "").split("?")[0]!.split("/").filter((part) => part !== "");
  return { page: parts[0] ?? "overview", rest: parts.slice(1).map(decodeURIComponent) };
}

export const route = new Store<Route>(read());

window.addEventListener("hashchange", () => route.set(read()));

export function link(...parts: (string | number)[]): string {
  return `#/${parts.map((part) => encodeURIComponent(String(part))).join("/")}`;
}

export function go(...parts: (string | number)[]): void {
  location.hash = link(...parts);
}
