// Who may use the console and the API, and the tokens of programs.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { may, post, session } from "../api/client";
import { has } from "../api/provided";
import type { Listing, Role, Token, User } from "../api/types";
import { useResource } from "../state/resource";
import { known, moment, t } from "../text";
import { Badge, Button, Card, Empty, Field, Input, Loading, Notice, Problem } from "../ui/basics";
import { ChangeDrawer, Drawer, type Change } from "../ui/drawer";
import { Grid, type Column } from "../ui/grid";
import { Page } from "../ui/page";
import { toast } from "../ui/toasts";
import { useWork } from "../state/work";

const PASSWORD_MIN = 12;
const DAYS = ["30", "90", "365"] as const;

export function Users(): JSX.Element {
  const users = useResource<Listing<User>>(may("access") || may("audit") ? "/users" : null, 0);
  const tokens = useResource<Listing<Token>>(has("/tokens") ? "/tokens" : null, 0);
  const [adding, set_adding] = useState<"user" | "token" | "password">();
  const [change, set_change] = useState<Change>();
  const blocked = may("access") ? undefined : t("may.access");
  const add = <Button kind="primary" icon="plus" label={t("users.add")} blocked={blocked} onClick={() => set_adding("user")} />;
  const own_password = has("/session:password") && session.get()?.via === "password";
  const columns: Column<User>[] = [
    { key: "name", label: t("user"), cell: (one) => <b>{one.name}</b>, by: (one) => one.name },
    { key: "role", label: t("table.role"), cell: (one) => known("user_role", one.role), by: (one) => one.role },
    { key: "state", label: t("table.state"), cell: (one) => (one.disabled ? <Badge tone="quiet" icon="stop">{t("users.disabled")}</Badge> : <Badge tone="ok">{t("users.enabled")}</Badge>) },
    { key: "made", label: t("job.made"), cell: (one) => <span class="number">{moment(one.created_unix_s)}</span>, by: (one) => one.created_unix_s },
    { key: "do", label: "", shrink: true, cell: (one) => <UserVerbs user={one} blocked={blocked} ask={set_change} /> },
  ];
  return (
    <Page title={t("nav.users")} lead={t("users.lead")} actions={<>{own_password ? <Button icon="key" label={t("password.own")} onClick={() => set_adding("password")} /> : null}{add}</>} commands={{ cli: "shardline user list", http: { method: "GET", path: "/users" } }}>
      {users.error && !users.data ? <Problem error={users.error} /> : null}
      {users.data ? (
        <Card title={t("nav.users")}><Grid caption={t("nav.users")} columns={columns} rows={users.data.items} id={(one) => one.name} sorted={{ key: "name", down: false }}
          empty={<Empty icon="users" title={t("users.none")} action={add}>{t("users.none.hint")}</Empty>} /></Card>
      ) : users.error || !(may("access") || may("audit")) ? null : <Loading />}
      {tokens.data ? <Tokens tokens={tokens.data.items} ask={set_change} add={() => set_adding("token")} /> : null}
      {adding === "user" ? <AddUser close={() => { set_adding(undefined); users.refresh(); }} /> : null}
      {adding === "token" ? <AddToken close={() => { set_adding(undefined); tokens.refresh(); }} /> : null}
      {adding === "password" ? <OwnPassword close={() => set_adding(undefined)} /> : null}
      {change ? <ChangeDrawer change={change} close={() => { set_change(undefined); users.refresh(); tokens.refresh(); }} /> : null}
    </Page>
  );
}

function UserVerbs({ user, blocked, ask }: { user: User; blocked: string | undefined; ask: (change: Change) => void }): JSX.Element {
  const { name } = user;
  const path = `/users/${encodeURIComponent(name)}`;
  const self = session.get()?.user === name ? t("users.self") : undefined;
  const turn: Change = {
    title: t(user.disabled ? "users.enable.title" : "users.disable.title", { name }), button: t(user.disabled ? "users.enable" : "users.disable"),
    effects: [t(user.disabled ? "users.enable.effect" : "users.disable.effect", { name })],
    commands: { http: { method: "POST", path: `${path}:update`, body: { disabled: !user.disabled } } },
    run: () => post(`${path}:update`, { disabled: !user.disabled }), done: t("users.changed", { name }),
  };
  const remove: Change = {
    title: t("users.remove.title", { name }), button: t("remove.button"), danger: true, confirm: name, effects: [t("users.remove.effect", { name })],
    commands: { cli: `shardline user remove ${name}`, http: { method: "POST", path: `${path}:remove` } },
    run: () => post(`${path}:remove`), done: t("users.removed", { name }),
  };
  return (
    <span class="row">
      <Button slim label={turn.button} blocked={blocked ?? self} onClick={() => ask(turn)} />
      <Button slim kind="danger" label={t("remove.button")} blocked={blocked ?? self} onClick={() => ask(remove)} />
    </span>
  );
}

function AddUser({ close }: { close: () => void }): JSX.Element {
  const roles = useResource<Listing<Role>>(has("/roles") ? "/roles" : null, 0);
  const [name, set_name] = useState("");
  const [role, set_role] = useState("viewer");
  const [password, set_password] = useState("");
  const { busy, error, run } = useWork();
  const short = password.length < PASSWORD_MIN ? t("users.password.short", { n: PASSWORD_MIN }) : undefined;
  const add = (): Promise<void> => run(async () => { await post("/users", { name, role, password }); close(); });
  const foot = <><Button label={t("action.back")} onClick={close} /><Button kind="primary" label={t("users.add")} busy={busy} blocked={name === "" ? t("users.name.missing") : short} onClick={() => void add()} /></>;
  return (
    <Drawer title={t("users.add")} close={close} foot={foot}>
      <Field id="user-name" label={t("login.user")}><Input id="user-name" value={name} onInput={set_name} placeholder="li.wei" /></Field>
      <Field id="user-role" label={t("table.role")} note={(roles.data?.items.find((one) => one.name === role)?.scopes ?? []).map((scope) => known("scope", scope)).join(" · ")}>
        <select id="user-role" class="input" value={role} aria-describedby="user-role-note" onChange={(event) => set_role(event.currentTarget.value)}>
          {(roles.data?.items ?? [{ name: "viewer", scopes: [] }]).map((one) => <option key={one.name} value={one.name}>{known("user_role", one.name)}</option>)}
        </select>
      </Field>
      <Field id="user-password" label={t("login.password")} note={t("users.password.note", { n: PASSWORD_MIN })}><Input id="user-password" type="password" value={password} onInput={set_password} autocomplete="new-password" noted /></Field>
      {error ? <Problem error={error} /> : null}
    </Drawer>
  );
}

function OwnPassword({ close }: { close: () => void }): JSX.Element {
  const [old, set_old] = useState("");
  const [fresh, set_fresh] = useState("");
  const { busy, error, run } = useWork();
  const change = (): Promise<void> => run(async () => {
    await post("/session:password", { old, new: fresh });
    toast("ok", t("password.done"));
    close();
  });
  const blocked = fresh.length < PASSWORD_MIN ? t("users.password.short", { n: PASSWORD_MIN }) : undefined;
  const foot = <><Button label={t("action.back")} onClick={close} /><Button kind="primary" label={t("password.button")} busy={busy} blocked={blocked} onClick={() => void change()} /></>;
  return (
    <Drawer title={t("password.own")} close={close} foot={foot}>
      <Field id="password-old" label={t("password.old")}><Input id="password-old" type="password" value={old} onInput={set_old} autocomplete="current-password" /></Field>
      <Field id="password-new" label={t("password.new")} note={t("users.password.note", { n: PASSWORD_MIN })}><Input id="password-new" type="password" value={fresh} onInput={set_fresh} autocomplete="new-password" noted /></Field>
      {error ? <Problem error={error} /> : null}
    </Drawer>
  );
}

function Tokens({ tokens, ask, add }: { tokens: readonly Token[]; ask: (change: Change) => void; add: () => void }): JSX.Element {
  const columns: Column<Token>[] = [
    { key: "name", label: t("token"), cell: (one) => <span><b>{one.name}</b> <span class="muted mono small">{one.id}</span></span>, by: (one) => one.name },
    { key: "user", label: t("user"), cell: (one) => one.user, by: (one) => one.user },
    { key: "scopes", label: t("tokens.scopes"), cell: (one) => <span class="row">{one.scopes.map((scope) => <span key={scope} class="tag">{known("scope", scope)}</span>)}</span> },
    { key: "ends", label: t("tokens.ends"), cell: (one) => (one.expires_unix_s === null ? t("tokens.never") : moment(one.expires_unix_s)), by: (one) => one.expires_unix_s ?? Infinity },
    { key: "do", label: "", shrink: true, cell: (one) => <Button slim kind="danger" label={t("tokens.revoke")} onClick={() => ask(revoke(one))} /> },
  ];
  const button = <Button slim icon="plus" label={t("tokens.add")} onClick={add} />;
  return (
    <Card title={t("tokens.title")} note={t("tokens.note")} tools={button}>
      <Grid caption={t("tokens.title")} columns={columns} rows={tokens} id={(one) => one.id} empty={<Empty icon="key" title={t("tokens.none")}>{t("tokens.none.hint")}</Empty>} />
    </Card>
  );
}

function revoke(token: Token): Change {
  return {
    title: t("tokens.revoke.title", { name: token.name }), button: t("tokens.revoke"), danger: true, effects: [t("tokens.revoke.effect")],
    commands: { cli: `shardline token revoke ${token.id}`, http: { method: "POST", path: `/tokens/${token.id}:revoke` } },
    run: () => post(`/tokens/${token.id}:revoke`), done: t("tokens.revoked", { name: token.name }),
  };
}

function AddToken({ close }: { close: () => void }): JSX.Element {
  const own = session.get()?.scopes ?? [];
  const [name, set_name] = useState("");
  const [scopes, set_scopes] = useState<readonly string[]>(["read"]);
  const [days, set_days] = useState<string>("90");
  const [made, set_made] = useState<Token>();
  const { busy, error, run } = useWork();
  const add = (): Promise<void> => run(async () => set_made(await post<Token>("/tokens", { name, scopes, days: Number(days) })));
  if (made) {
    return (
      <Drawer title={t("tokens.made", { name: made.name })} close={close} foot={<Button kind="primary" label={t("action.close")} onClick={close} />}>
        <Notice tone="warn"><b>{t("tokens.once")}</b></Notice>
        <div class="copy"><pre tabIndex={0}>{made.secret}</pre></div>
      </Drawer>
    );
  }
  const blocked = name === "" ? t("tokens.name.missing") : scopes.length === 0 ? t("tokens.scopes.missing") : undefined;
  const foot = <><Button label={t("action.back")} onClick={close} /><Button kind="primary" label={t("tokens.add")} busy={busy} blocked={blocked} onClick={() => void add()} /></>;
  return (
    <Drawer title={t("tokens.add")} close={close} foot={foot}>
      <Field id="token-name" label={t("tokens.name")}><Input id="token-name" value={name} onInput={set_name} placeholder="ci" /></Field>
      <fieldset class="choices">
        <legend>{t("tokens.scopes")}</legend>
        {own.map((scope) => (
          <label key={scope} class="choice">
            <input type="checkbox" checked={scopes.includes(scope)} onChange={(event) => set_scopes(event.currentTarget.checked ? [...scopes, scope] : scopes.filter((one) => one !== scope))} />
            <div><b>{known("scope", scope)}</b></div>
          </label>
        ))}
      </fieldset>
      <Field id="token-days" label={t("tokens.days")}>
        <select id="token-days" class="input" value={days} onChange={(event) => set_days(event.currentTarget.value)}>
          {DAYS.map((one) => <option key={one} value={one}>{t("tokens.n_days", { n: one })}</option>)}
        </select>
      </Field>
      {error ? <Problem error={error} /> : null}
    </Drawer>
  );
}
