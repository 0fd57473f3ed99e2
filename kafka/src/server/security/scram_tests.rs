use super::*;

/// The exchange of RFC 7677, section 3.
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_LAST: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn exchange(hash: ScramHash) -> ScramExchange {
    let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let credential = ScramCredential::new(hash, b"pencil", salt);
    let client = ClientFirst::parse(FIRST.as_bytes()).unwrap();
    let mut exchange = ScramExchange::new(client, credential, b"");
    // The RFC's nonce is no base64.
    exchange.nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned();
    exchange.server_first = SERVER_FIRST.to_owned();
    exchange
}

#[test]
fn the_example_of_the_rfc_is_accepted() {
    let (name, last) = exchange(ScramHash::Sha256).finish(LAST.as_bytes()).unwrap();
    assert_eq!((name.as_str(), last.as_str()), ("user", SERVER_LAST));
}

#[test]
fn last_messages_that_differ_in_anything_are_refused() {
    for (from, to, fault) in [
        ("dHzb", "dHzc", ScramFault::Proof),
        ("dHzbZap", "dHzb*ap", ScramFault::Last),
        ("dHzbZapW", "", ScramFault::Proof),
        (
            "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "p=",
            ScramFault::Proof,
        ),
        (",p=", ",q=", ScramFault::Last),
        ("biws", "eSws", ScramFault::ChannelBinding),
        ("r=rO", "r=sO", ScramFault::Nonce),
        ("$k0", "$k0A", ScramFault::Nonce),
        ("c=", "d=", ScramFault::Last),
        (",p=", ",ext=1,p=", ScramFault::Proof),
    ] {
        let message = LAST.replace(from, to);
        let finished = exchange(ScramHash::Sha256).finish(message.as_bytes());
        assert_eq!(finished, Err(fault), "{message}");
    }
    let finished = exchange(ScramHash::Sha512).finish(LAST.as_bytes());
    assert_eq!(finished, Err(ScramFault::Proof));
}

#[test]
fn first_messages_are_read_as_the_rfc_has_them() {
    let first = ClientFirst::parse(b"y,a=ad=2Cmin,n=a=3Db=2Cc,r=xyz,ext=1").unwrap();
    assert_eq!(first.name, "a=b,c");
    assert_eq!(first.authorization.as_deref(), Some("ad,min"));
    assert_eq!(first.gs2_header, "y,a=ad=2Cmin,");
    assert_eq!(first.bare, "n=a=3Db=2Cc,r=xyz,ext=1");
    for message in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=a",
        "n,,n=a,r=",
        "n,,n=,r=x",
        "p=tls-unique,,n=a,r=x",
        "n,b=1,n=a,r=x",
        "n,,m=1,n=a,r=x",
        "n,,n=a=2,r=x",
        "n,,n=a=41,r=x",
        "n,,r=x,n=a",
        "n,,n=a,r=x\u{7f}",
        "n,,n=aä=é,r=x",
    ] {
        let parsed = ClientFirst::parse(message.as_bytes());
        assert_eq!(parsed.err(), Some(ScramFault::First), "{message}");
    }
    let token = ClientFirst::parse(b"n,,n=a,r=x,tokenauth=true").err();
    assert_eq!(token, Some(ScramFault::DelegationToken));
    assert!(ClientFirst::parse(&[0xff, b',']).is_err());
}

#[test]
fn only_the_password_is_the_password() {
    for hash in [ScramHash::Sha256, ScramHash::Sha512] {
        let credential = ScramCredential::new(hash, b"pencil", vec![7; SALT_BYTES]);
        assert!(credential.is_password(b"pencil"));
        assert!(!credential.is_password(b"pencils"));
        assert!(!credential.is_password(b""));
    }
}

#[test]
fn a_decoy_has_a_salt_of_its_own_and_no_password() {
    let decoy = |name| ScramCredential::decoy(ScramHash::Sha256, b"secret", name);
    assert_eq!(decoy("a").salt, decoy("a").salt);
    assert_ne!(decoy("a").salt, decoy("b").salt);
    assert_eq!(decoy("a").salt.len(), SALT_BYTES);
    assert!(!decoy("a").is_password(b""));
}

#[test]
fn a_credential_shows_nothing_of_itself() {
    let credential = ScramCredential::new(ScramHash::Sha256, b"pencil", vec![7; SALT_BYTES]);
    let shown = format!("{credential:?}");
    assert_eq!(
        shown,
        "ScramCredential { hash: Sha256, iterations: 4096, .. }"
    );
}
