//! What a container calls, as far as its text says so: words cut as a shell cuts them, and what stands behind programs
//! that only carry on another one.

use serde_json::Value;

const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "ksh", "zsh"];
/// Programs that run the program that stands behind them.
const CARRIERS: [&str; 17] = [
    "chroot", "command", "doas", "env", "exec", "ionice", "nice", "nohup", "nsenter", "setsid", "stdbuf", "sudo",
    "taskset", "time", "timeout", "unshare", "xargs",
];
/// Words of the shell that a command may stand behind.
const KEYWORDS: [&str; 9] = ["!", "do", "elif", "else", "if", "then", "until", "while", "{"];
/// How deeply shells may call shells.
const DEPTH: usize = 4;

/// Every command of a container, each as its words.
pub(super) fn of(container: &Value) -> Vec<Vec<String>> {
    let words = |key: &str| {
        let list = container.get(key).and_then(Value::as_array).into_iter().flatten();
        list.map(|word| word.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    let called: Vec<String> = words("command").into_iter().chain(words("args")).collect();
    follow(called, DEPTH, &mut found);
    if let Some(source) = container.get("source").and_then(Value::as_str) {
        script(source, DEPTH, &mut found);
    }
    found
}

/// A command, the command that it carries on, and the script that it hands to a shell.
fn follow(words: Vec<String>, depth: usize, found: &mut Vec<Vec<String>>) {
    let start = words.iter().position(|word| !KEYWORDS.contains(&word.as_str()) && !is_assignment(word));
    let Some(words) = start.and_then(|start| words.get(start..)) else { return };
    let Some(first) = words.first().map(|word| name(word)) else { return };
    if depth > 0 && SHELLS.contains(&first) {
        let option = words.iter().position(|word| is_dash_c(word));
        if let Some(text) = option.and_then(|option| words.get(option + 1)) {
            script(text, depth - 1, found);
        }
    } else if depth > 0 && CARRIERS.contains(&first) {
        // Which of its words begins the carried one depends on its options: any of them may.
        for start in 1..words.len() {
            let carried = words.get(start..).unwrap_or_default();
            if !carried.first().is_some_and(|word| word.starts_with('-')) {
                follow(carried.to_vec(), depth - 1, found);
            }
        }
    }
    found.push(words.to_vec());
}

fn script(text: &str, depth: usize, found: &mut Vec<Vec<String>>) {
    for words in split(text) {
        follow(words, depth, found);
    }
}

/// The program's own name, whatever folder it is called from.
pub(super) fn name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn is_dash_c(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|letters| !letters.starts_with('-') && letters.ends_with('c'))
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// The commands of a script: words without their quotes, cut at what ends a command.
fn split(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ");
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, '#') if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            (None, '\n' | ';' | '|' | '&' | '(' | ')' | '`') => {
                end(&mut commands, &mut word);
                commands.push(Vec::new());
            }
            (None, ' ' | '\t' | '\r' | '<' | '>') => end(&mut commands, &mut word),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    end(&mut commands, &mut word);
    commands.retain(|words| !words.is_empty());
    commands
}

fn end(commands: &mut [Vec<String>], word: &mut Option<String>) {
    if let (Some(command), Some(word)) = (commands.last_mut(), word.take()) {
        command.push(word);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn called(script: &str) -> Vec<String> {
        let found = of(&json!({"command": ["sh", "-c", script]}));
        found.iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn a_script_is_cut_as_a_shell_cuts_it() {
        let cases = [
            ("sync; reboot", vec!["sync", "reboot"]),
            ("# reboot\necho 'reboot; now' && true", vec!["echo reboot; now", "true"]),
            ("if kubectl get x; then\n  reboot\nfi", vec!["kubectl get x", "reboot", "fi"]),
            ("kubectl drain \\\n  n1", vec!["kubectl drain n1"]),
            ("A=1 /sbin/reboot", vec!["/sbin/reboot"]),
            ("x=$(kubectl get \"$node\")", vec!["kubectl get $node"]),
        ];
        for (script, want) in cases {
            let found = called(script);
            assert!(want.iter().all(|words| found.contains(&(*words).to_owned())), "{script}: {found:?}");
            assert!(!found.contains(&"reboot; now".to_owned()), "{script}: {found:?}");
        }
    }

    #[test]
    fn what_stands_behind_another_program_is_found() {
        for script in [
            "nsenter -t 1 -m -- reboot",
            "nsenter -t 1 -m reboot",
            "chroot /host reboot",
            "exec timeout 5 reboot",
            "sudo sh -c 'sync && reboot'",
        ] {
            assert!(called(script).contains(&"reboot".to_owned()), "{script}: {:?}", called(script));
        }
        assert!(of(&json!({"source": "reboot"})).contains(&vec!["reboot".to_owned()]));
        assert!(!called("echo reboot").contains(&"reboot".to_owned()), "it is only said");
    }
}
