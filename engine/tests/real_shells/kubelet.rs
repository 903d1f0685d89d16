//! What kubelet makes of a command before it runs, for a container without variables of its own.

/// Expands `$$` and leaves `$(NAME)` alone, as there is no variable of any name.
pub fn expand(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let passed = match after.chars().next() {
            Some('$') => {
                out.push('$');
                1
            }
            Some('(') => {
                let length = after.find(')').map_or(1, |end| end + 1);
                out.push('$');
                out.push_str(&after[..length]);
                length
            }
            Some(c) => {
                out.push('$');
                out.push(c);
                c.len_utf8()
            }
            None => {
                out.push('$');
                0
            }
        };
        rest = &after[passed..];
    }
    out.push_str(rest);
    out
}
