//! A file of users: `NAME:PASSWORD` in each line; empty lines and comments (`#`) are skipped.

/// The users of a file. An error has the line's number, and nothing of the line.
pub(crate) fn parse(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut users = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once(':') {
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                users.push((name, password));
            }
            _ => return Err(format!("line {} is not NAME:PASSWORD", i + 1)),
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_user() {
        let users = parse("# users\n\nalice:alice:secret \r\nbob: b\n").unwrap();
        assert_eq!(users, [("alice", "alice:secret "), ("bob", " b")]);
        for line in ["secret", ":secret", "secret:"] {
            let text = format!("\n{line}\n");
            assert_eq!(parse(&text), Err("line 2 is not NAME:PASSWORD".to_owned()));
        }
    }
}
