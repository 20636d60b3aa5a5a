// The switches of language and theme.
import type { JSX } from "preact";
import { choose_language, choose_theme, language, theme, type Theme } from "../state/preferences";
import { useStore } from "../state/store";
import { t } from "../text";
import { Button } from "./basics";

const NEXT: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const ICONS = { auto: "auto", light: "sun", dark: "moon" } as const;

export function LanguageButton(): JSX.Element {
  const now = useStore(language);
  return <button type="button" class="button plain" lang={now === "en" ? "zh-CN" : "en"} onClick={() => choose_language(now === "en" ? "zh" : "en")}>{now === "en" ? "中文" : "English"}</button>;
}

export function ThemeButton(): JSX.Element {
  const now = useStore(theme);
  return <Button kind="plain" icon={ICONS[now]} icon_only label={t("theme.now", { theme: t(`theme.${now}`) })} onClick={() => choose_theme(NEXT[now])} />;
}
