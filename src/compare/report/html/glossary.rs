//! What a reader has to know to understand the report: what is drawn, and the terms.

use crate::compare::report::words::levels;
use crate::compare::results::Results;

pub(super) const ID: &str = "terms";
pub(super) const TITLE: &str = "Legend and terms";

const DRAWN: [(&str, &str); 8] = [
    (
        "line and marker",
        "Each strategy and each foreign server has a color and a shape of its own, the same in all \
         charts; with TLS, its markers are hollow. The reference loop is grey and dotted, a twin \
         has the color of its original and is dashed.",
    ),
    ("vertical or horizontal stroke", "The confidence interval of a point or a bar."),
    ("two shades in a bar", "User time is dark, system time light; or one shade per system call."),
    ("gap in a bar", "The bar is cut off, because it is far longer than the others."),
    ("pale", "The figure failed a check. It is not ranked."),
    ("crossed out", "The same, for a number."),
    ("bold", "It leads: it is shown to be better than another, and none is shown to be better."),
    ("≥", "A rate at which the client was at its limit: the server may be faster."),
];

const TERMS: [(&str, &str); 16] = [
    (
        "contender",
        "A server that takes part: a strategy, the reference loop, a twin, a foreign server.",
    ),
    (
        "reference loop",
        "A bare epoll loop that sends prepared responses, for comparison. It is not ranked. Under \
         some loads another way to wait costs less.",
    ),
    ("A/A comparison", "The same strategy a second time: what differs between the two is noise."),
    ("round", "Each contender measured once under one workload. Ratios are taken within rounds."),
    ("workload", "What the clients do: a load, or a point of a sweep."),
    ("load, sweep", "A load is one way to send requests. A sweep varies one property of a load."),
    (
        "closed loop",
        "A connection sends its next request when the response to the last has arrived.",
    ),
    ("open loop", "Requests are sent at fixed times, whatever the server does."),
    (
        "Little's law",
        "Requests in flight = rate × mean latency. A client that loses time violates it.",
    ),
    ("would-block", "A system call that found nothing to read, or no room to write (EAGAIN)."),
    ("context switch", "A thread stopped running: it slept, or the kernel preferred another."),
    ("pipelined", "The next requests are sent before the response to the first has arrived."),
    ("p99", "All but the slowest hundredth of the responses took at most this long."),
    (
        "CPU pressure",
        "The share of time in which something waited for a core. It is shown, and not judged.",
    ),
    ("steal", "Time that the hypervisor gave to other virtual machines."),
    ("crossover", "Two points of a curve at which different contenders lead."),
];

pub(super) fn write(out: &mut String, results: &Results) {
    out.push_str(&format!(
        "<section id=\"{ID}\">\n<details open>\n<summary><h2>{TITLE}</h2></summary>\n<dl class=\"terms\">\n"
    ));
    for (term, meaning) in DRAWN.into_iter().chain(TERMS) {
        out.push_str(&format!("<dt>{term}</dt><dd>{meaning}</dd>\n"));
    }
    if let Some(levels) = levels(results) {
        out.push_str(&format!(
            "<dt>interval</dt><dd>It contains the true value with {levels} confidence.</dd>\n"
        ));
    }
    out.push_str("</dl>\n</details>\n</section>\n");
}
