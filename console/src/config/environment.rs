//! `${NAME}` and `${NAME:-default}` in values of the file: secrets and addresses come
//! from the environment, not from a file that is checked in.

/// Replaces every reference in `text`; `$$` is a dollar sign.
pub fn expand(text: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            expanded.push('$');
            rest = tail;
        } else if let Some(body) = after.strip_prefix('{') {
            let (reference, tail) = body.split_once('}').ok_or_else(|| {
                format!("{text:?} has ${{ without }}; write $$ for a dollar sign")
            })?;
            let (name, default) = match reference.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (reference, None),
            };
            let value = variable(name).or_else(|| default.map(str::to_owned));
            expanded.push_str(&value.ok_or_else(|| {
                format!("environment variable {name} is not set, and no default is given")
            })?);
            rest = tail;
        } else {
            return Err(format!("{text:?} has a lone $; write ${{NAME}}, or $$ for a dollar sign"));
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &str) -> Option<String> {
        (name == "SECRET").then(|| "p{w}$".to_owned())
    }

    #[test]
    fn references_defaults_and_dollars() {
        let expand = |text| expand(text, &variables);
        assert_eq!(expand("a${SECRET}b"), Ok("ap{w}$b".into()));
        assert_eq!(expand("${NONE:-x}"), Ok("x".into()));
        assert_eq!(expand("5$$"), Ok("5$".into()));
        assert!(expand("${NONE}").expect_err("unset").contains("NONE is not set"));
        assert!(expand("${OPEN").expect_err("open").contains("without }"));
        assert!(expand("$5").expect_err("lone").contains("lone $"));
    }
}
