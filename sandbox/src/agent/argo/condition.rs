//! `when`: the condition of a step or task, after its tags are filled in. Argo reads it as an expression over
//! literals in which a bare word is a string.

/// Whether the condition holds. An empty one does. The error says what could not be read.
pub(crate) fn holds(text: &str) -> Result<bool, String> {
    if text.trim().is_empty() {
        return Ok(true);
    }
    let tokens = tokens(text).map_err(|why| invalid(text, &why))?;
    let mut reader = Reader { tokens: &tokens, at: 0, depth: 0 };
    let value = reader.either().map_err(|why| invalid(text, &why))?;
    if let Some(token) = reader.peek() {
        return Err(invalid(text, &format!("unexpected {}", token.shown())));
    }
    match value {
        Literal::Bool(holds) => Ok(holds),
        other => Err(format!("Expected boolean evaluation for '{text}'. Got {}", other.shown())),
    }
}

const DEEPEST: usize = 64;

fn invalid(text: &str, why: &str) -> String {
    format!("Invalid 'when' expression '{text}': {why} (hint: try wrapping the affected expression in quotes (\"))")
}

#[derive(Clone, Debug, PartialEq)]
enum Literal {
    Bool(bool),
    Number(f64),
    Text(String),
}

impl Literal {
    fn shown(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(value) => value.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Literal(Literal),
    Operator(&'static str),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Literal(literal) => format!("'{}'", literal.shown()),
            Self::Operator(operator) => format!("'{operator}'"),
        }
    }
}

/// Longer operators stand before those that they begin with.
const OPERATORS: [&str; 11] = ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "(", ")"];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(operator) = OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
            tokens.push(Token::Operator(operator));
            rest = rest.get(operator.len()..).unwrap_or_default();
        } else if first == '"' || first == '\'' {
            let (literal, tail) = quoted(rest, first)?;
            tokens.push(Token::Literal(Literal::Text(literal)));
            rest = tail;
        } else {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
            // A minus sign belongs to a number only; between words Argo would subtract.
            let end = if end == 0 && first == '-' {
                1 + rest
                    .get(1..)
                    .and_then(|tail| tail.find(|c: char| !(c.is_ascii_digit() || c == '.')))
                    .unwrap_or(rest.len() - 1)
            } else {
                end
            };
            let (word, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
            tokens.push(Token::Literal(self::word(word).ok_or_else(|| format!("Invalid token: '{}'", first))?));
            rest = tail;
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

fn word(word: &str) -> Option<Literal> {
    match word {
        "true" => Some(Literal::Bool(true)),
        "false" => Some(Literal::Bool(false)),
        _ if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') => word.parse().ok().map(Literal::Number),
        _ if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => Some(Literal::Text(word.to_owned())),
        _ => None,
    }
}

fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut literal = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => {
                literal.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            _ if c == quote => return Ok((literal, text.get(at + c.len_utf8()..).unwrap_or_default())),
            _ => literal.push(c),
        }
    }
    Err("Unclosed string literal".to_owned())
}

/// Reads by precedence, lowest first: or, and, comparison, not.
struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, operator: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Operator(found)) if *found == operator);
        self.at += usize::from(found);
        found
    }

    fn either(&mut self) -> Result<Literal, String> {
        let mut value = self.both()?;
        while self.take("||") {
            let right = self.both()?;
            value = Literal::Bool(logical("||", &value)? | logical("||", &right)?);
        }
        Ok(value)
    }

    fn both(&mut self) -> Result<Literal, String> {
        let mut value = self.comparison()?;
        while self.take("&&") {
            let right = self.comparison()?;
            value = Literal::Bool(logical("&&", &value)? & logical("&&", &right)?);
        }
        Ok(value)
    }

    fn comparison(&mut self) -> Result<Literal, String> {
        let mut value = self.operand()?;
        while let Some(Token::Operator(operator @ ("==" | "!=" | "<" | "<=" | ">" | ">="))) = self.peek().cloned() {
            self.at += 1;
            let right = self.operand()?;
            value = Literal::Bool(compare(operator, &value, &right)?);
        }
        Ok(value)
    }

    fn operand(&mut self) -> Result<Literal, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is nested too deeply".to_owned());
        }
        let value = if self.take("!") {
            let value = self.operand()?;
            Literal::Bool(!logical("!", &value)?)
        } else if self.take("(") {
            let value = self.either()?;
            if !self.take(")") {
                return Err("Unbalanced parenthesis".to_owned());
            }
            value
        } else {
            match self.peek().cloned() {
                Some(Token::Literal(literal)) => {
                    self.at += 1;
                    literal
                }
                Some(token) => return Err(format!("unexpected {}", token.shown())),
                None => return Err("Unexpected end of expression".to_owned()),
            }
        };
        self.depth -= 1;
        Ok(value)
    }
}

fn logical(operator: &str, value: &Literal) -> Result<bool, String> {
    match value {
        Literal::Bool(value) => Ok(*value),
        other => Err(format!(
            "Value '{}' cannot be used with the logical operator '{operator}', it is not a bool",
            other.shown()
        )),
    }
}

fn compare(operator: &str, left: &Literal, right: &Literal) -> Result<bool, String> {
    let order = match (operator, left, right) {
        ("==", ..) => return Ok(left == right),
        ("!=", ..) => return Ok(left != right),
        (_, Literal::Number(left), Literal::Number(right)) => left.partial_cmp(right),
        (_, Literal::Text(left), Literal::Text(right)) => Some(left.cmp(right)),
        _ => {
            return Err(format!(
                "Value '{}' cannot be used with the comparator '{operator}', it is not a number",
                if matches!(left, Literal::Number(_)) { right.shown() } else { left.shown() }
            ));
        }
    };
    Ok(order.is_some_and(|order| match operator {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_holds_as_argo_decides() {
        let cases = [
            ("", true, "no condition"),
            ("true", true, "a literal"),
            ("heads == heads", true, "bare words are strings"),
            ("heads == tails", false, "other words"),
            ("heads != tails", true, ""),
            ("\"heads up\" == 'heads up'", true, "either quote"),
            ("'it\\'s' == \"it's\"", true, "an escaped quote"),
            ("1 == 1.0", true, "numbers are compared as numbers"),
            ("\"1\" == 1", false, "a string is no number"),
            ("10 > 9", true, ""),
            ("-1 < 0", true, "a negative number"),
            ("abc < abd", true, "strings have an order"),
            ("3 <= 3 && 3 >= 3", true, ""),
            ("true == false", false, "booleans compare"),
            ("!false", true, ""),
            ("!(a == a)", false, ""),
            ("a == b || c == c && d == d", true, "and binds closer than or"),
            ("(a == a || c == c) && d == e", false, "parentheses decide"),
            ("Failed!=Succeeded", true, "no spaces needed"),
        ];
        for (text, want, why) in cases {
            assert_eq!(holds(text), Ok(want), "{text}: {why}");
        }
    }

    #[test]
    fn a_condition_that_cannot_be_read_says_why() {
        let cases = [
            ("heads", "Expected boolean evaluation for 'heads'. Got heads"),
            ("a ==", "Unexpected end of expression"),
            ("(a == a", "Unbalanced parenthesis"),
            ("a == 'b", "Unclosed string literal"),
            ("a-b == a-b", "Invalid token: '-'"),
            ("{{steps.x}} == 1", "Invalid token: '{'"),
            ("a == a b", "unexpected 'b'"),
            ("a && true", "it is not a bool"),
            ("a < 1", "it is not a number"),
            ("1x == 1x", "Invalid token"),
            ("- == -", "Invalid token"),
        ];
        for (text, want) in cases {
            let found = holds(text).unwrap_err();
            assert!(found.contains(want), "{text}: {found}");
        }
        assert!(holds(&"(".repeat(10_000)).unwrap_err().contains("nested too deeply"));
        assert!(holds(&"!".repeat(10_000)).unwrap_err().contains("nested too deeply"));
    }

    proptest::proptest! {
        #[test]
        fn no_condition_panics(text in r#"[ab1\-'"!=<>&|() .\\é]{0,40}"#) {
            let _ = holds(&text);
        }
    }
}
