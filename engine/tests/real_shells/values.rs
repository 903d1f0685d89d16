//! Values that have broken programs before.

use proptest::prelude::*;

/// Naughty strings, and payloads that make the canary if any reader takes them for code.
pub fn naughty() -> impl Iterator<Item = &'static str> {
    naughty_strings::BLNS.iter().copied().chain(PAYLOADS.iter().copied())
}

/// Payloads for every quoting that there is.
pub const PAYLOADS: &[&str] = &[
    "$(touch canary)",
    "`touch canary`",
    ";touch canary;",
    "&touch canary&",
    "|touch canary|",
    "a\ntouch canary\n",
    "';touch canary;'",
    "\";touch canary;\"",
    "\";touch canary;'",
    "\\';touch canary;\\'",
    "'$(touch canary)'",
    "\"$(touch canary)\"",
    ")touch canary",
    "))touch canary",
    "}touch canary",
    ";;esac;touch canary",
    "a]]\ntouch canary",
    "a[$(touch canary)]",
    "$((a[$(touch canary)]))",
    "${a:-$(touch canary)}",
    "\\$(touch canary)",
    "\\\\$(touch canary)",
    "$$(touch canary)",
    "$$$(touch canary)",
    "x) $(touch canary)",
    "x)$$(touch canary)",
    "E\ntouch canary\n",
    "E\n$(touch canary)\nE",
    "a\nE;touch canary;)",
    "a\nE touch canary)",
    "\tE\ntouch canary",
    "\n",
    "\\",
    "\\\\",
    "'",
    "''",
    "\"",
    "`",
    "$",
    "$$",
    "$(",
    "${",
    "$((",
    "~",
    "*",
    "[a-z]*",
    "{a,b}",
    "!!",
    "a #b",
    "#",
    "a\\\nb",
    "\r",
    "a\r\nb",
    "\u{1}\u{2}\u{7f}",
    "\u{81}\u{82}\u{88}\u{ff}",
    "\u{e9}\u{4f60}\u{1f600}",
    "$'\\''",
    "=a",
    "a=b",
    "(a)",
    "<(touch canary)",
    ">canary",
    "<<E",
];

/// Text in which the characters that shells care about are frequent.
pub fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "['\"\\\\$`(){}\\[\\]<>|&;*?~#!%^=+, \n\t\r-]",
        2 => "[a-zA-Z0-9]{1,3}",
        1 => "[\\x01-\\x1f\\x7f-\u{a0}]",
        1 => any::<char>().prop_map(String::from),
        1 => proptest::sample::select(PAYLOADS).prop_map(str::to_owned),
    ];
    proptest::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
}

/// Words that no reader gives a meaning to.
pub const SAFE_WORDS: &[&str] = &["node1", "a-b_c.d:e@f/g", "0", "10.0.0.1:8080", "if", "done", "esac", "in", "A"];

/// Decimal numbers.
pub const NUMBERS: &[&str] = &["0", "7", "10", "123456789012345678"];
