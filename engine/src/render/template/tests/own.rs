//! Our own style.

use super::{prints, refuses};

#[test]
fn own_style_prints_values_and_its_own_text() {
    prints(&[
        ("a {{ node }} b", "a <n1> b", "a bare name is a parameter"),
        ("{{node}}", "<n1>", "space is not needed"),
        ("{{ key-with-dash }}", "<k>", "a dash without space belongs to the name"),
        ("{{ 'x' }}{{ \"y\" }}{{ 3 }}", "xy3", "literals are the template's own text"),
        ("{{ keep(\"workflow.name\") }}", "{{workflow.name}}", "for Argo"),
        ("a  {{- node -}}  b", "a<n1>b", "trims space"),
        ("{% raw %}{{ node }} {% if %}{% endraw %}", "{{ node }} {% if %}", "raw text"),
        ("a{# a comment #}b", "ab", "a comment"),
        ("{{ node | upper }}", "<N1>", "a filter"),
        ("{{ node|upper|lower }}", "<n1>", "filters in a row"),
        ("{{ nodes | split(',') | first }}", "<a>", "a list"),
        ("{{ nodes | split(',') | last }}", "<c>", "a list"),
        ("{{ (nodes | split(','))[1] }} {{ nodes[0] }} {{ nodes[-1] }}", "<b> <a> <c>", "subscripts"),
        ("{{ nodes[2:] }} {{ nodes[:1] }} {{ nodes[2:3] }} {{ nodes[-1:99] }}", "<b,c> <a> <b> <c>", "slices"),
        ("{{ nodes | split(',') | reverse | join('+') }}", "<c+b+a>", "reverse and join"),
        ("{{ ['b', 'a', 'b'] | unique | sort | join(',') }}", "a,b", "no parameter, so it is own text"),
        ("{{ [3, 1, 2.5] | sort | join(' ') }}", "1 2.5 3", "numbers in order"),
        ("{{ ['b', 1, 'a'] | sort | join(' ') }}", "1 a b", "numbers before text"),
        ("{{ 'on' if node == 'n1' }} {{ node if on }}", "<on> <n1>", "what holds needs no else"),
        ("{{ nodes | split(',') | map('upper') | join(',') }}", "<A,B,C>", "a filter for each"),
        ("{{ keep(node) }}", "<{{n1}}>", "what a parameter went into is no literal"),
        ("{{ node | replace('n', 'm', count=1) }}", "<m1>", "operands may be named"),
        ("{{ nodes | split(',') | length }} {{ node | count }}", "<i:3> <i:2>", "lengths"),
        ("{{ 'a  b' | split | join('-') }}", "a-b", "split at space"),
        ("{{ evil | lines | last }}", "<- $(reboot)>", "lines"),
        ("{{ count | int }} {{ on | bool }} {{ count | int | string }}", "<i:3> <b:true> <3>", "types"),
        ("{{ node | int(7) }} {{ node | float(0.5) }}", "<i:7> <0.5>", "what to take for no number"),
        ("{{ absent | default('d') }} {{ empty | default('d') }}", "<d> <>", "only a missing parameter is replaced"),
        ("{{ empty | default('d', true) }}", "<d>", "an empty one, too, when asked for"),
        ("{{ node ~ '-' ~ count }}", "<n1-3>", "joined"),
        ("{{ 'a' + node }}", "<an1>", "text plus text"),
        (
            "{{ (count | int) * 2 + 1 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }}",
            "<i:7> 3 -4 2 3.5",
            "numbers",
        ),
        ("{{ -(count | int) }} {{ (0 - 3) | abs }}", "<i:-3> 3", "signs"),
        ("{{ 'up' if on | bool else 'down' }}", "<up>", "what a parameter chose is a value"),
        ("{{ node | replace('n', 'm') }} {{ 'xax' | trim('x') }} {{ 'aBC' | capitalize }}", "<m1> a Abc", "text"),
    ]);
}

#[test]
fn own_conditions_see_real_values() {
    prints(&[
        ("{% if node %}a{% else %}b{% endif %}", "a", "text that is not empty is true"),
        ("{% if empty %}a{% elif node == 'n1' %}b{% else %}c{% endif %}", "b", "elif"),
        ("{% if absent is defined %}a{% else %}b{% endif %}", "b", "a missing parameter may be asked for"),
        ("{% if absent is undefined and node is not undefined %}a{% endif %}", "a", "the opposite"),
        ("{% if absent is not defined %}a{% endif %}", "a", "negated"),
        ("{% if absent is defined and absent == 'x' %}a{% else %}b{% endif %}", "b", "what follows is not evaluated"),
        ("{{ 'x' if node is not defined else node }}", "<n1>", "a condition inside a tag"),
        ("{% if absent | default(false) %}a{% else %}b{% endif %}", "b", "a default makes it usable"),
        ("{% if node in ['n1', 'n2'] and node not in ['x'] %}a{% endif %}", "a", "in a list"),
        ("{% if 'b' in nodes %}a{% endif %}", "a", "in a text"),
        ("{% if count | int > 2 and not (count | int >= 4) %}a{% endif %}", "a", "numbers"),
        ("{% if count|int is odd %}a{% endif %}{% if 4 is even %}b{% endif %}", "ab", "tests"),
        ("{% if node is startingwith('n') and node is endingwith('1') %}a{% endif %}", "a", "tests of text"),
        ("{% if node != 'n1' or count < '4' %}a{% endif %}", "a", "or"),
    ]);
}

#[test]
fn own_loops_and_variables_work_as_in_jinja() {
    prints(&[
        ("{% for n in nodes | split(',') %}[{{ n }}]{% endfor %}", "[<a>][<b>][<c>]", "a loop"),
        ("{% for n in [] %}a{% else %}none{% endfor %}", "none", "nothing to loop over"),
        ("{% for n in [node, 'x'] %}{{ n }}{% endfor %}", "<n1><x>", "a list that a parameter went into is all values"),
        ("{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(1, 3) %}{{ i }}{% endfor %}", "01212", "numbers"),
        (
            "{% for n in ['a', 'b'] %}{{ loop.index }}{{ loop.index0 }}{{ n }}{% if not loop.last %},{% endif %}{% endfor %}",
            "10a,21b",
            "the loop's own counters",
        ),
        ("{% for n in ['a', 'b'] %}{{ loop.first }}{{ loop.length }} {% endfor %}", "true2 false2 ", "more counters"),
        ("{% set x = node %}{{ x }}", "<n1>", "a variable"),
        (
            "{% set x = 'a' %}{% if node %}{% set x = 'b' %}{% endif %}{{ x }}",
            "b",
            "a condition has no variables of its own",
        ),
        ("{% set x = 'a' %}{% for i in [1] %}{% set x = 'b' %}{{ x }}{% endfor %}{{ x }}", "ba", "a loop has"),
        (
            "{% for i in [1, 2] %}{% if i == 1 %}{% set node = 'b' %}{% endif %}{{ node }}{% endfor %}",
            "b<n1>",
            "a round begins without what the round before set",
        ),
        ("{% set node = 'x' %}{{ node }}{{.node}}", "x<n1>", "a leading dot always is the parameter"),
        ("{% for a in [1] %}{% for a in [2] %}{{ a }}{% endfor %}{{ a }}{% endfor %}", "21", "nested loops"),
    ]);
}

#[test]
fn a_tag_alone_on_its_line_takes_the_line_with_it() {
    prints(&[
        ("a\n  {% if node %}\nb\n  {% endif %}\nc", "a\nb\nc", "both lines go"),
        ("{% if node %}\nb\n{% endif %}", "b\n", "at the ends of the text"),
        ("a {% if node %}\nb{% endif %}\nc", "a \nb\nc", "other text on the line keeps the line"),
        ("a\n  {%+ if node %}\nb{% endif %}", "a\n  \nb", "a plus keeps everything"),
        ("a\n  {%- if node -%}\n  b{% endif %}", "ab", "a minus trims all space"),
        ("a\n  {# note #}\nb", "a\nb", "a comment, too"),
        ("a\r\n  {% if node %}\r\nb{% endif %}", "a\r\nb", "lines may end as on Windows"),
        ("{% if node %}{% if on %}\nb{% endif %}{% endif %}", "\nb", "two tags on one line keep it"),
    ]);
}

#[test]
fn both_languages_may_print_in_one_template() {
    prints(&[
        ("{% if node %}{{.node}}{{ .count | int }}{% endif %}", "<n1><i:3>", "Go's tags under our conditions"),
        ("{{if .node}}{{ node | upper }}{{end}}", "<N1>", "our tags under Go's conditions"),
        ("{% for n in ['a'] %}{{`{{item}}`}}{{keep \"pod.name\"}}{% endfor %}", "{{item}}{{pod.name}}", "literals"),
    ]);
}

#[test]
fn own_style_refuses_what_it_cannot_do() {
    refuses(&[
        ("{{ absent }}", "line 1, column 1: parameter absent: is missing", "it has count,"),
        ("{% if absent %}{% endif %}", "line 1, column 7: parameter absent: is missing", ""),
        ("{% if absent == 'x' %}{% endif %}", "line 1, column 7: parameter absent: is missing", ""),
        ("{{ node | shout }}", "line 1, column 11: there is no filter shout", "the filters are"),
        ("{{ node | replace('a') }}", "line 1, column 11: missing argument", ""),
        ("{{ shout(node) }}", "line 1, column 4: there is no function shout", "keep and range"),
        ("{% if node is loud %}{% endif %}", "line 1, column 15: there is no test loud", "the tests are"),
        (
            "{{ count + 1 }}",
            "line 1, column 4: tried to use + operator on unsupported types string and number",
            "use int",
        ),
        ("{{ 1 // 0 }}", "line 1, column 4: unable to calculate 1 // 0", ""),
        ("{{ 1 / 0 }}", "line 1, column 4: unable to calculate 1 / 0", ""),
        ("{{ 9223372036854775807 + 1 }}", "line 1, column 4: the result is outside of what 64 bits hold", ""),
        ("{{ nodes | split(',') }}", "line 1, column 1: a list cannot be printed", "join"),
        ("{{ '1e999' | float }}", "line 1, column 4: the result is not a finite number", ""),
        ("{{ node | int }}", "line 1, column 11: found \"n1\", but an integer is needed here", ""),
        ("{{ node | bool }}", "line 1, column 11: found \"n1\", but true or false is needed here", ""),
        ("{{ nodes[9] }}", "line 1, column 4: this expression yields nothing", "default"),
        ("{{ count | int + gone }}", "line 1, column 18: parameter gone: is missing", ""),
        ("{{ [node, gone] | join(',') }}", "line 1, column 11: parameter gone: is missing", ""),
        ("{{ node | split(gone) }}", "line 1, column 17: parameter gone: is missing", ""),
        ("{{ gone is none }}", "line 1, column 4: parameter gone: is missing", ""),
        ("{{ absent | default(gone) }}", "line 1, column 21: parameter gone: is missing", ""),
        ("{{ node ~ absent | d('x') ~ gone }}", "line 1, column 29: parameter gone: is missing", ""),
        ("{{ -node }}", "line 1, column 4: invalid operation", "use int"),
        ("{{ __absent | upper }}", "line 1, column 4: a name in an expression cannot begin with __", ""),
        ("{{ node | safe }}", "line 1, column 11: there is no filter safe", ""),
        ("{{ debug() }}", "line 1, column 4: there is no function debug", ""),
        ("{% if empty %}{{ node | shout }}{% endif %}", "line 1, column 25: there is no filter shout", ""),
        ("{{ [['a']] }}", "line 1, column 4: the result is a list inside a list", ""),
        ("{{ node if empty }}", "line 1, column 4: this expression yields nothing", ""),
        ("{{ count. }}", "line 1, column 9: a value is text or a list and has no field", ""),
        ("{% for item in ['a'] %}{% endfor %}", "line 1, column 8: a variable cannot be called item", "another name"),
        ("{% set loop = 1 %}", "line 1, column 8: a variable cannot be called loop", ""),
        ("{% for a, b in x %}{% endfor %}", "line 1, column 9: found ',', but expected in", ""),
        ("{% for a in [1] if a %}{% endfor %}", "line 1, column 17: found if, but expected the end", "inside the loop"),
        ("{% for a in [1] %}{{ loop.cycle }}{% endfor %}", "line 1, column 26: loop has no field \"cycle\"", "index0"),
        ("{% include 'x' %}", "line 1, column 1: {% include %} is not supported", "the tags are"),
        ("{% macro x() %}", "line 1, column 1: {% macro %} is not supported", ""),
        ("{% set x %}a{% endset %}", "line 1, column 10: found the end of the tag, but expected '='", ""),
        ("{{ {'a': 1} }}", "line 1, column 4: the result is a map", ""),
    ]);
}
