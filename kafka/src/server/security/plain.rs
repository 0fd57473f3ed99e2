//! PLAIN: the client sends its name and its password.

/// What the client sent. It has a password, so it has no `Debug`.
pub(crate) struct PlainMessage {
    pub(crate) authorization: String,
    pub(crate) name: String,
    pub(crate) password: Vec<u8>,
}

/// Why a message is refused before its password is looked at. It has nothing of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlainFault {
    #[error("the message has {parts} parts in place of 3")]
    Parts { parts: usize },
    #[error("the message is not UTF-8")]
    Encoding,
    #[error("Authentication failed: username not specified")]
    NoName,
    #[error("Authentication failed: password not specified")]
    NoPassword,
}

impl PlainMessage {
    /// `authorization NUL name NUL password`.
    pub(crate) fn parse(message: &[u8]) -> Result<PlainMessage, PlainFault> {
        let parts: Vec<&[u8]> = message.split(|&byte| byte == 0).collect();
        let [authorization, name, password] = parts[..] else {
            let parts = parts.len();
            return Err(PlainFault::Parts { parts });
        };
        if name.is_empty() {
            return Err(PlainFault::NoName);
        }
        if password.is_empty() {
            return Err(PlainFault::NoPassword);
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
        let (authorization, name) = match (text(authorization), text(name)) {
            (Ok(authorization), Ok(name)) => (authorization, name),
            _ => return Err(PlainFault::Encoding),
        };
        Ok(PlainMessage {
            authorization,
            name,
            password: password.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_three_parts_of_which_the_first_may_be_empty() {
        let message = PlainMessage::parse(b"\0alice\0secret").unwrap();
        assert_eq!(
            (message.name.as_str(), &message.password[..]),
            ("alice", &b"secret"[..])
        );
        let message = PlainMessage::parse(b"bob\0alice\0secret").unwrap();
        assert_eq!(message.authorization, "bob");
        for (message, fault) in [
            (&b""[..], PlainFault::Parts { parts: 1 }),
            (b"alice\0secret", PlainFault::Parts { parts: 2 }),
            (b"\0alice\0secret\0", PlainFault::Parts { parts: 4 }),
            (b"\0\0secret", PlainFault::NoName),
            (b"\0alice\0", PlainFault::NoPassword),
            (b"\0\xff\0secret", PlainFault::Encoding),
        ] {
            assert_eq!(PlainMessage::parse(message).err(), Some(fault));
        }
    }
}
