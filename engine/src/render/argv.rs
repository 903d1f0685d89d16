//! Which items of a container's `command` and `args` are shell text, which are another language's source, and which
//! a program is given as they are.

use super::shell::{Bound, Dialect, Item, Language, is_ksh_like, is_shell, judge_items, language_of, program_of};

/// How an item, or the source of a script template, is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// A program is given it as it is.
    Argument(Bound),
    /// A shell reads it.
    Shell(Dialect),
    /// An interpreter reads it.
    Source(Language),
    /// Something reads it of which we know no quoting.
    Reread(Bound),
}

/// The roles of a container's items and of its source.
#[derive(Debug, Clone)]
pub(super) struct Roles {
    pub(super) items: Vec<Role>,
    /// Of use when the container has a source.
    pub(super) source: Role,
}

/// Where Argo puts a script's source: behind `command` and `args`.
const STAGED: &str = "/argo/staging/script";

/// Tells the roles of a container's items: those of `command`, then those of `args`.
pub(super) fn roles(commands: usize, items: &[Item], has_source: bool) -> Roles {
    if commands == 0 {
        // The image's own command gets the arguments, and nobody here knows it.
        let why = "the image's own command reads it, which may be a shell";
        return Roles {
            items: vec![Role::Argument(Bound::safe_word(why)); items.len()],
            source: Role::Source(Language::Other),
        };
    }
    let mut line = items.to_vec();
    if has_source {
        let mut staged = Item::default();
        staged.push_own(STAGED);
        line.push(staged);
    }
    let bounds = judge_items(&line);
    let mut roles = Roles {
        items: bounds.into_iter().take(items.len()).map(Role::Argument).collect(),
        source: Role::Reread(Bound::safe_word("the script's command is no shell or interpreter we know")),
    };
    let Some((at, name)) = program_of(&line) else {
        return roles;
    };
    let behind = line.get(at + 1..).unwrap_or_default();
    if is_shell(&name) {
        let dialect = if name == "bash" { Dialect::Bash } else { Dialect::Posix };
        match shell_operand(behind) {
            Operand::Text(text) => {
                let text = at + 1 + text;
                if let Some(role) = roles.items.get_mut(text) {
                    *role = Role::Shell(dialect);
                }
                // What follows is the text's $0, $1 and so on.
                for role in roles.items.iter_mut().skip(text + 1) {
                    *role = Role::Argument(Bound::ANY);
                }
            }
            Operand::File(file) if at + 1 + file == items.len() => roles.source = Role::Shell(dialect),
            Operand::File(_) | Operand::Unclear => {}
        }
    } else if is_ksh_like(&name) {
        roles.source = Role::Reread(Bound::safe_word(format!("{name} reads it, whose quoting we do not know")));
    } else if let Some(language) = language_of(&name) {
        match code_operand(language, behind) {
            Operand::Text(text) => {
                let text = at + 1 + text;
                if let Some(role) = roles.items.get_mut(text) {
                    *role = Role::Source(language);
                }
                if language == Language::Python {
                    for role in roles.items.iter_mut().skip(text + 1) {
                        *role = Role::Argument(Bound::ANY);
                    }
                }
            }
            Operand::File(file) if at + 1 + file == items.len() => roles.source = Role::Source(language),
            Operand::File(_) | Operand::Unclear => roles.source = Role::Source(Language::Other),
        }
    }
    roles
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operand {
    /// The position of the text to run.
    Text(usize),
    /// The position of the file to run.
    File(usize),
    Unclear,
}

fn shell_operand(items: &[Item]) -> Operand {
    let mut text_follows = false;
    let mut at = 0;
    while let Some(item) = items.get(at) {
        let Some(literal) = item.literal() else {
            return if text_follows && !item.prefix().starts_with(['-', '+']) {
                Operand::Text(at)
            } else {
                Operand::Unclear
            };
        };
        match literal {
            "--" | "-" => {
                at += 1;
                break;
            }
            "--rcfile" | "--init-file" => at += 2,
            long if long.starts_with("--") => at += 1,
            cluster if cluster.starts_with(['-', '+']) && cluster.len() > 1 => {
                text_follows |= cluster.starts_with('-') && cluster.contains('c');
                // Each o and O takes a name from the items that follow.
                at += 1 + cluster.matches(['o', 'O']).count();
            }
            _ => break,
        }
    }
    match (text_follows, at < items.len()) {
        (true, true) => Operand::Text(at),
        (false, true) => Operand::File(at),
        (_, false) => Operand::Unclear,
    }
}

fn code_operand(language: Language, items: &[Item]) -> Operand {
    for (at, item) in items.iter().enumerate() {
        let Some(literal) = item.literal() else {
            return Operand::Unclear;
        };
        if takes_code(language, literal) {
            return match items.get(at + 1) {
                Some(_) => Operand::Text(at + 1),
                None => Operand::Unclear,
            };
        }
        if literal.starts_with('-') {
            continue;
        }
        // An operand behind an option may be that option's argument, unless it is the staged script itself.
        let before_are_flags = at == 0 || literal == STAGED;
        return if before_are_flags { Operand::File(at) } else { Operand::Unclear };
    }
    Operand::Unclear
}

fn takes_code(language: Language, option: &str) -> bool {
    let short = |letters: &[char]| option.starts_with('-') && !option.starts_with("--") && option.ends_with(letters);
    match language {
        Language::Python => short(&['c']),
        Language::Perl => short(&['e', 'E']),
        Language::Ruby | Language::Lua => short(&['e']),
        Language::JavaScript => short(&['e', 'p']) || matches!(option, "--eval" | "--print" | "eval"),
        Language::Php => short(&['r']),
        Language::Expression | Language::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::shell::Limit;

    fn item(text: &str) -> Item {
        let mut item = Item::default();
        let mut parts = text.split("<>");
        item.push_own(parts.next().unwrap_or_default());
        for part in parts {
            item.push_hole();
            item.push_own(part);
        }
        item
    }

    fn of(items: &[&str], has_source: bool) -> Roles {
        let items: Vec<Item> = items.iter().map(|text| item(text)).collect();
        roles(items.len(), &items, has_source)
    }

    fn last(items: &[&str]) -> Role {
        of(items, false).items.pop().unwrap()
    }

    #[test]
    fn the_text_that_a_shell_runs_is_found_behind_its_options_and_wrappers() {
        let bash = Role::Shell(Dialect::Bash);
        let posix = Role::Shell(Dialect::Posix);
        let cases: &[(&[&str], &Role)] = &[
            (&["/bin/bash", "-c", "echo <>"], &bash),
            (&["sh", "-ec", "echo <>"], &posix),
            (&["bash", "-euo", "pipefail", "-c", "echo <>"], &bash),
            (&["bash", "--norc", "-o", "errexit", "-c", "--", "echo <>"], &bash),
            (&["/usr/bin/env", "-i", "A=b", "bash", "-c", "echo <>"], &bash),
            (&["busybox", "sh", "-c", "echo <>"], &posix),
            (&["nsenter", "-t", "1", "-m", "-u", "--", "sh", "-c", "echo <>"], &posix),
            (&["nsenter", "--target=1", "--mount", "sh", "-c", "echo <>"], &posix),
            (&["chroot", "/host", "/bin/bash", "-c", "echo <>"], &bash),
            (&["timeout", "-s", "KILL", "10", "sh", "-c", "echo <>"], &posix),
            (&["tini", "--", "sudo", "-u", "root", "sh", "-c", "echo <>"], &posix),
        ];
        for (items, expected) in cases {
            assert_eq!(&last(items), *expected, "{items:?}");
        }
    }

    #[test]
    fn an_argument_of_a_program_is_bounded_by_what_the_program_does_with_it() {
        use Limit::{Any, Never, SafeWord};
        let cases: &[(&[&str], Limit)] = &[
            (&["kubectl", "cordon", "<>"], Any),
            (&["nsenter", "-t", "1", "-m", "--", "systemctl", "restart", "<>"], Any),
            (&["sh", "-c", "echo $1", "sh", "<>"], Any),
            (&["python3", "/opt/notify.py", "<>"], Any),
            (&["<>", "x"], Never),
            (&["sudo", "<>"], Never),
            (&["nsenter", "-t", "1", "-m", "--", "<>"], Never),
            (&["sh", "<>"], Never),
            (&["kubectl", "exec", "p", "--", "sh", "-c", "<>"], SafeWord),
            (&["kubectl", "patch", "node", "n", "-p", "<>"], SafeWord),
            (&["kubectl", "apply", "-f", "<>"], Never),
            (&["ssh", "root@<>", "reboot"], SafeWord),
            (&["ssh", "root@n", "<>"], SafeWord),
            (&["xargs", "<>"], SafeWord),
            (&["awk", "/<>/"], SafeWord),
            (&["env", "-S", "show <>"], SafeWord),
            (&["curl", "-d", "{\"text\": \"<>\"}", "http://x"], SafeWord),
            (&["find", "/", "-exec", "rm", "<>"], SafeWord),
        ];
        for (items, expected) in cases {
            let at = items.iter().position(|item| item.contains("<>")).unwrap();
            let Role::Argument(bound) = &of(items, false).items[at] else {
                panic!("{items:?} is no argument");
            };
            assert_eq!(bound.limit, *expected, "{items:?}: {}", bound.why);
        }
    }

    #[test]
    fn a_source_belongs_to_the_program_that_runs_it() {
        let source = |items: &[&str]| of(items, true).source;
        assert_eq!(source(&["bash"]), Role::Shell(Dialect::Bash));
        assert_eq!(source(&["sh", "-e"]), Role::Shell(Dialect::Posix));
        assert_eq!(source(&["python3", "-u"]), Role::Source(Language::Python));
        assert_eq!(source(&["node"]), Role::Source(Language::JavaScript));
        assert_eq!(source(&["python3", "-W", "ignore"]), Role::Source(Language::Other));
        assert!(matches!(source(&["zsh"]), Role::Reread(_)));
        assert!(matches!(source(&["sh", "-c", "x"]), Role::Reread(_)));
        assert!(matches!(source(&["mytool"]), Role::Reread(_)));
        assert_eq!(roles(0, &[], true).source, Role::Source(Language::Other));
    }

    #[test]
    fn code_behind_an_option_is_source() {
        assert_eq!(last(&["python3", "-c", "print('<>')"]), Role::Source(Language::Python));
        assert_eq!(last(&["perl", "-ne", "print '<>'"]), Role::Source(Language::Perl));
        assert_eq!(last(&["python3", "-c", "x", "<>"]), Role::Argument(Bound::ANY));
    }
}
