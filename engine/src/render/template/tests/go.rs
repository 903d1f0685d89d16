//! Go's language, checked against what text/template prints for a map of texts.

use super::{prints, refuses};

#[test]
fn go_prints_values_and_its_own_text() {
    prints(&[
        ("a {{.node}} b", "a <n1> b", "a field"),
        ("{{ .node }}", "<n1>", "space inside"),
        ("{{\n.node\n}}", "<n1>", "a tag may hold line feeds"),
        ("{{$.node}}", "<n1>", "the root"),
        ("{{(.node)}}", "<n1>", "parentheses"),
        ("{{`{{item}}`}}", "{{item}}", "a literal is the template's own text"),
        ("{{\"a\\tb\\u00e9\\\"\"}}", "a\tb\u{e9}\"", "escapes"),
        ("{{\"{{\"}}", "{{", "how to print braces"),
        ("{{keep \"workflow.name\"}}", "{{workflow.name}}", "for Argo"),
        ("{{3}} {{-3}} {{0.5}} {{true}}", "3 -3 0.5 true", "literals of other types are own text, too"),
        ("{{index . \"key-with-dash\"}}", "<k>", "a name that no field can have"),
        ("{{/* a {{ comment }} \n */}}x", "x", "a comment"),
        ("a  {{- /* c */ -}}  b", "ab", "a comment that trims"),
        ("a \n {{- .node -}} \n b", "a<n1>b", "trims space on both sides"),
        ("a {{- .node}} b", "a<n1> b", "trims on one side"),
    ]);
}

#[test]
fn go_computes_on_real_values() {
    prints(&[
        ("{{int .count}}", "<i:3>", "says that it is an integer"),
        ("{{.count | int}}", "<i:3>", "the same through a pipe"),
        ("{{bool .on}}", "<b:true>", "says that it is a boolean"),
        ("{{float .ratio}}", "<0.75>", "a number"),
        ("{{len .nodes}}", "<i:5>", "a computed number is a value"),
        ("{{len \"abc\"}}", "3", "computed from own text alone it is own text"),
        ("{{print .node \"-\" .count}}", "<n1-3>", "one value of many"),
        ("{{print 1 2 \"a\" 3 4}}", "1 2a3 4", "space between operands that are not text"),
        (
            "{{printf \"%s-%05d|%-4s|%5.1f%%\" .node (int .count) .on (float .ratio)}}",
            "<n1-00003|true|  0.8%>",
            "formats",
        ),
        ("{{printf \"%+d %x %v %t\" 3 -255 .node true}}", "<+3 -ff n1 true>", "more formats"),
        ("{{printf \"%05s|%5t|%-5v|\" \"ab\" true \"\\u00e9\"}}", "000ab| true|\u{e9}    |", "widths"),
        ("{{`a\r\nb`}}", "a\nb", "carriage returns in backquotes are dropped"),
        ("{{.node | printf \"%s/%s\" \"x\"}}", "<x/n1>", "the piped value is the last operand"),
        ("{{.absent | default \"d\"}}", "<d>", "a default stands in for a value, so it is one"),
        ("{{.empty | default \"d\"}}", "<d>", "an empty value is replaced, too"),
        ("{{.node | default \"d\"}}", "<n1>", "the value is there"),
        ("{{or .absent .empty .node \"x\"}}", "<n1>", "the first that is true"),
        ("{{and .node .count}}", "<3>", "the last when all are true"),
        ("{{and .empty (index .nodes 99)}}", "<>", "what follows a false operand is not evaluated"),
        ("{{upper .node}} {{lower \"A\"}}", "<N1> a", "case"),
        ("{{replace \",\" \";\" .nodes}}", "<a;b;c>", "the subject is the last operand"),
        ("{{.nodes | split \",\" | join \"+\"}}", "<a+b+c>", "a list and back"),
        ("{{index (split \",\" .nodes) 1}}", "<b>", "an item"),
        ("{{slice .nodes 2 3}}", "<b>", "a part of a text"),
        ("{{trimPrefix \"n\" .node}} {{trimSuffix \"1\" .node}}", "<1> <n>", "prefix and suffix"),
        ("{{trim \"  x \"}}", "x", "space"),
    ]);
}

#[test]
fn go_conditions_see_real_values() {
    prints(&[
        ("{{if .node}}a{{else}}b{{end}}", "a", "text that is not empty is true"),
        ("{{if .empty}}a{{else}}b{{end}}", "b", "empty text is false"),
        ("{{if .absent}}a{{else}}b{{end}}", "b", "a missing parameter is false"),
        ("{{if not .absent}}a{{end}}", "a", "not of a missing parameter"),
        ("{{if eq .absent \"\"}}a{{else}}b{{end}}", "b", "a missing parameter equals no text, not even an empty one"),
        ("{{if ne .absent \"x\"}}a{{end}}", "a", "it differs from every text"),
        ("{{if eq .absent .other}}a{{end}}", "a", "it equals another missing one"),
        ("{{if eq .node \"n1\"}}a{{end}}", "a", "equal"),
        ("{{if eq .node \"x\" \"n1\"}}a{{end}}", "a", "equal to any"),
        ("{{if ne .node \"n1\"}}a{{else}}b{{end}}", "b", "not equal"),
        ("{{if gt (int .count) 2}}a{{end}}", "a", "numbers"),
        ("{{if lt .node \"n2\"}}a{{end}}", "a", "texts in order"),
        ("{{if and (ge 3 3) (le 3.0 3)}}a{{end}}", "a", "an integer against a decimal number"),
        ("{{if eq .node \"x\"}}a{{else if .absent}}b{{else if .count}}c{{else}}d{{end}}", "c", "else if"),
        ("{{if .node}}{{if .absent}}a{{else}}b{{end}}{{end}}", "b", "nested"),
        ("{{if hasPrefix \"n\" .node}}a{{end}}{{if contains \"b\" .nodes}}b{{end}}", "ab", "tests"),
        ("{{with .node}}{{.}}{{else}}none{{end}}", "<n1>", "with sets the dot"),
        ("{{with .absent}}a{{else}}none{{end}}", "none", "with of a missing parameter"),
        ("{{with $n := .node}}{{$n}}{{end}}", "<n1>", "with sets a variable"),
        ("{{with .absent}}a{{else with .count}}{{.}}{{end}}", "<3>", "else with"),
        ("{{if $n := .node}}{{$n}}{{end}}", "<n1>", "if sets a variable"),
        ("{{ if node }}{{ node }}{{ end }}", "<n1>", "a bare name is the parameter"),
    ]);
}

#[test]
fn go_loops_and_variables_work_as_in_go() {
    prints(&[
        ("{{range split \",\" .nodes}}[{{.}}]{{end}}", "[<a>][<b>][<c>]", "the dot is the item"),
        ("{{range $i, $n := split \",\" .nodes}}{{$i}}{{$n}}{{end}}", "0<a>1<b>2<c>", "index and item"),
        ("{{range $n := split \",\" .nodes}}{{$n}}{{end}}", "<a><b><c>", "one variable is the item"),
        ("{{range .absent}}a{{else}}none{{end}}", "none", "nothing to loop over"),
        ("{{range 3}}{{.}}{{end}}", "012", "a number of rounds"),
        ("{{range $i := int .count}}{{$i}}{{end}}", "<i:0><i:1><i:2>", "rounds that an alert counts"),
        ("{{range split \",\" .nodes}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "<a><c>", "continue"),
        ("{{range split \",\" .nodes}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "<a>", "break"),
        ("{{range split \",\" .nodes}}{{$.node}}{{end}}", "<n1><n1><n1>", "the parameters inside a loop"),
        ("{{$x := .node}}{{if true}}{{$x = \"y\"}}{{end}}{{$x}}", "y", "assignment reaches the outer variable"),
        ("{{$x := .node}}{{if true}}{{$x := \"y\"}}{{$x}}{{end}}{{$x}}", "y<n1>", "declaration does not"),
        ("{{$x := 1}}{{$x := 2}}{{$x}}", "2", "declared again"),
    ]);
}

#[test]
fn go_loops_over_all_parameters_in_the_order_of_their_names() {
    let template = "{{range $k, $v := .}}{{if eq $k \"node\" \"on\"}}{{$k}}={{$v}} {{end}}{{end}}";
    prints(&[(template, "<node>=<n1> <on>=<true> ", "names come from alerts, so they are values")]);
}

#[test]
fn go_refuses_what_it_cannot_do() {
    refuses(&[
        ("a\n  {{.absent}}", "line 2, column 3: parameter absent: is missing", "it has"),
        ("{{.Node}}", "line 1, column 1: parameter Node: is missing", "did you mean node?"),
        ("{{printf \"%s\" .absent}}", "line 1, column 15: parameter absent: is missing", ""),
        ("{{lookup .node}}", "line 1, column 3: there is no function lookup", "the functions are"),
        ("{{.node | quote}}", "line 1, column 11: there is no function quote", "quoted for the place"),
        ("{{if lt .absent \"x\"}}{{end}}", "line 1, column 9: parameter absent: is missing", ""),
        ("{{printf \"%q\" .node}}", "line 1, column 3: the verb %q is not supported", "use %s"),
        ("{{printf \"%d\" .count}}", "line 1, column 3: found text, but an integer", "use int"),
        ("{{printf \"%s %s\" .node}}", "line 1, column 3: the format \"%s %s\" asks for more", ""),
        ("{{printf \"x\" .node}}", "line 1, column 3: the format \"x\" asks for fewer", ""),
        ("{{printf \"%9999d\" 1}}", "line 1, column 3: the format asks for a width of 9999", ""),
        ("{{int .node}}", "line 1, column 3: found \"n1\", but an integer is needed", ""),
        ("{{bool .node}}", "line 1, column 3: found \"n1\", but true or false is needed", ""),
        ("{{if eq .count 3}}{{end}}", "line 1, column 6: compares text with an integer", "use int"),
        (
            "{{.node.name}}",
            "line 1, column 9: the parameter node is text and has no field name",
            "{{index . \"node.name\"}}",
        ),
        ("{{.key-with-dash}}", "line 1, column 4: a name behind '.' cannot hold '-'", "{{index . \"key-...\"}}"),
        ("{{range .node}}{{end}}", "line 1, column 9: found text, but a list is needed", "split"),
        ("{{range split \",\" .nodes}}{{.node}}{{end}}", "line 1, column 30: asks text for a field node", "$.node"),
        ("{{.}}", "line 1, column 1: all parameters cannot be printed", "one by one"),
        ("{{split \",\" .nodes}}", "line 1, column 1: a list cannot be printed", "join"),
        (
            "{{index (split \",\" .nodes) 3}}",
            "line 1, column 3: asks for a part that is not there: there are 3 items",
            "",
        ),
        ("{{slice .node 1 9}}", "line 1, column 3: 9 is outside of the text, which ends at 2", ""),
        ("{{slice \"\\u00e9\" 1}}", "line 1, column 3: this slice cuts through a character", ""),
        ("{{$x}}", "line 1, column 3: the variable $x is not known here", "set it first"),
        ("{{$x = 1}}", "line 1, column 3: the variable $x is not known here", ":="),
        ("{{if $x = 1}}{{end}}", "line 1, column 6: found '=' in a condition", "eq"),
        ("{{eq .node}}", "line 1, column 3: eq takes at least 2 operands, but found 1", ""),
        ("{{keep .node}}", "line 1, column 3: keep takes one text in quotes", ""),
        ("{{keep \"{{x}}\"}}", "line 1, column 3: keep takes a name of Argo's, without braces", ""),
        ("{{.node .count}}", "line 1, column 9: found '.', but expected the end of the tag", "only a function"),
        ("{{.node | .count}}", "line 1, column 11: what stands behind '|' must be a function", ""),
        ("{{printf '%s' .node}}", "line 1, column 10: found a text in single quotes", "double quotes"),
        ("{{(.node}}", "line 1, column 9: found the end of the tag, but expected ')'", ""),
        ("{{.node)}}", "line 1, column 8: found ')', but expected the end of the tag", ""),
        ("{{if nil}}{{end}}", "line 1, column 6: nil is not a value", ""),
        ("{{if}}{{end}}", "line 1, column 5: found the end of the tag, but expected a value", ""),
        ("{{define \"x\"}}{{end}}", "line 1, column 1: {{define}} is not supported", ""),
        ("{{break}}", "line 1, column 1: found {{break}} outside of a {{range}}", ""),
    ]);
}
