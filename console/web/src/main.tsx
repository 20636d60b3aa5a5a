// The beginning: styles, who is here, the frame.
import { render } from "preact";
import "./style/index.css";
import { App } from "./app";
import { begin } from "./api/provided";
import { session } from "./api/client";

const root = document.getElementById("root");
if (root) {
  void begin().catch(() => session.set(null)).then(() => render(<App />, root));
}
