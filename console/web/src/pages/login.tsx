// The login: by password; by the link of `shardline up` it is passed over.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { post, session } from "../api/client";
import type { Session } from "../api/types";
import { useWork } from "../state/work";
import mark from "../style/mark.svg";
import { t } from "../text";
import { Button, Field, Input, Notice, Problem } from "../ui/basics";
import { LanguageButton, ThemeButton } from "../ui/switches";

export function Login(): JSX.Element {
  const [user, set_user] = useState("");
  const [password, set_password] = useState("");
  const { busy, error, run } = useWork();
  const log_in = (): Promise<void> => run(async () => session.set(await post<Session>("/login", { user, password })));
  return (
    <main class="gate" id="main">
      <div class="card">
        <div class="brand"><img src={mark} alt="" />Shardline</div>
        <h1>{t("login.title")}</h1>
        <form onSubmit={(event) => { event.preventDefault(); if (user !== "" && password !== "") void log_in(); }}>
          <Field id="login-user" label={t("login.user")}><Input id="login-user" value={user} onInput={set_user} autocomplete="username" required /></Field>
          <Field id="login-password" label={t("login.password")}><Input id="login-password" type="password" value={password} onInput={set_password} autocomplete="current-password" required /></Field>
          {error ? error.code === "unauthenticated" ? <Notice tone="bad" role="alert"><b>{t("login.wrong")}</b></Notice>
            : error.status === 429 ? <Notice tone="warn" role="alert"><b>{t("login.slow")}</b></Notice> : <Problem error={error} /> : null}
          <Button submit kind="primary" label={t("login.button")} busy={busy} />
        </form>
        <p class="small muted"><br />{t("login.link")} <code>shardline console</code></p>
        <div class="tools"><LanguageButton /><ThemeButton /></div>
      </div>
    </main>
  );
}
