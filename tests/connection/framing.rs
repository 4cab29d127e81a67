//! The responses depend on the bytes of the input, not on how they are split or what follows them.

use miniweb::http::{CloseReason, Limits, RequestError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::peer::{Peer, Transcript, converse, get, responses};

/// A name, the input of a connection, the statuses of the responses, and the close reason.
type Case = (&'static str, &'static [u8], &'static [u16], CloseReason);

const CASES: &[Case] = &[
    ("one request", b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n", &[200], CloseReason::InputEnded),
    ("nothing", b"", &[], CloseReason::InputEnded),
    (
        "deferred replies among others",
        b"GET /small HTTP/1.1\r\nHost: a\r\n\r\nGET /deferred HTTP/1.1\r\nHost: a\r\n\r\nHEAD /deferred HTTP/1.1\r\nHost: a\r\n\r\n\
          GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /deferred HTTP/1.0\r\n\r\n",
        &[200, 200, 200, 200, 200],
        CloseReason::ClientRequested,
    ),
    (
        "a deferred reply to a request with a body",
        b"GET /deferred HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /small HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200],
        CloseReason::BodyUnread,
    ),
    ("an incomplete head", b"GET /small HTTP/1.1\r\nHost:", &[], CloseReason::InputEnded),
    (
        "empty lines before a request, and a lone CR after it",
        b"\r\n\r\n\r\nGET /small HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r",
        &[200],
        CloseReason::InputEnded,
    ),
    (
        "a pipeline of every kind of body",
        b"GET /small HTTP/1.1\r\nHost: a\r\n\r\nHEAD /large HTTP/1.1\r\nHost: a\r\n\r\n\
          GET /parts HTTP/1.1\r\nHost: a\r\n\r\nGET /missing HTTP/1.1\r\nHost: a\r\n\r\n\
          GET /empty HTTP/1.1\r\nHost: a\r\n\r\nGET /large HTTP/1.1\r\nHost: a\r\n\r\n\
          HEAD /file HTTP/1.1\r\nHost: a\r\n\r\nGET /small HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 200, 200, 404, 200, 200, 200, 200],
        CloseReason::InputEnded,
    ),
    (
        "a body that looks like a request",
        b"GET /small HTTP/1.1\r\nContent-Length: 18\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\n\nGET /part HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 200],
        CloseReason::InputEnded,
    ),
    (
        "chunks with extensions and trailers",
        b"GET /small HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n\
          5;name=\"value\"\r\nGET /\r\nA\r\n\r\n0\r\n\r\n123\r\n000\r\nTrailer: GET\r\nOther: x\r\n\r\n\
          GET /part HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 200],
        CloseReason::InputEnded,
    ),
    (
        "HTTP/1.0, first with keep-alive",
        b"GET /small HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /small HTTP/1.0\r\n\r\n",
        &[200, 200],
        CloseReason::ClientRequested,
    ),
    (
        "requests after a close",
        b"GET /small HTTP/1.1\r\nConnection: x, close\r\nHost: a\r\n\r\nGET /small HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200],
        CloseReason::ClientRequested,
    ),
    (
        "a body whose request asks for a close",
        b"GET /small HTTP/1.1\r\nConnection: close\r\nContent-Length: 5\r\nHost: a\r\n\r\nhello",
        &[200],
        CloseReason::ClientRequested,
    ),
    (
        "a method that is not allowed, with a body",
        b"POST /small HTTP/1.1\r\nContent-Length: 5\r\nHost: a\r\n\r\nhelloGET /small HTTP/1.1\r\nHost: a\r\n\r\n",
        &[405],
        CloseReason::BodyUnread,
    ),
    (
        "a body with Expect: 100-continue",
        b"GET /small HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\nHost: a\r\n\r\nGET /small HTTP/1.1\r\n",
        &[200],
        CloseReason::BodyUnread,
    ),
    (
        "a bare line feed",
        b"GET /small HTTP/1.1\r\nHost: a\r\n\r\nGET /small HTTP/1.1\nHost: a\r\n\r\n",
        &[200, 400],
        CloseReason::Refused(RequestError::BareLineFeed),
    ),
    (
        "no host",
        b"GET /small HTTP/1.1\r\n\r\nGET /small HTTP/1.1\r\nHost: a\r\n\r\n",
        &[400],
        CloseReason::Refused(RequestError::MissingHost),
    ),
    (
        "an unknown method, after HEAD",
        b"HEAD /small HTTP/1.1\r\nHost: a\r\n\r\nBREW / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 501],
        CloseReason::Refused(RequestError::UnknownMethod),
    ),
    (
        "malformed chunks, after the response was sent",
        b"GET /small HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n3\r\nabcd\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
        &[200],
        CloseReason::Refused(RequestError::MalformedChunk),
    ),
    (
        "a chunk extension without a name, after the response was sent",
        b"GET /small HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n3;\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
        &[200],
        CloseReason::Refused(RequestError::MalformedChunk),
    ),
    (
        "Content-Length and Transfer-Encoding",
        b"GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n0\r\n\r\n",
        &[400],
        CloseReason::Refused(RequestError::AmbiguousFraming),
    ),
    (
        "a Content-Length beyond the limit",
        b"GET / HTTP/1.1\r\nContent-Length: 65537\r\nHost: a\r\n\r\nxxxxxxxxxxxxxxxxx",
        &[413],
        CloseReason::Refused(RequestError::BodyTooLarge),
    ),
];

#[test]
fn each_case_has_the_expected_statuses_and_close_reason() {
    for (name, input, statuses, reason) in CASES {
        let transcript = whole(&Limits::default(), input);
        let seen: Vec<u16> =
            responses(&transcript.received).iter().map(|response| response.status).collect();
        assert_eq!((&seen[..], transcript.closing.reason), (*statuses, *reason), "{name}");
        assert!(!transcript.closing.reset, "{name}");
    }
}

#[test]
fn splitting_the_input_anywhere_changes_nothing() {
    for (name, input, ..) in CASES {
        let expected = whole(&Limits::default(), input);
        for at in 0..=input.len() {
            let (left, right) = input.split_at(at);
            assert_same(
                &converse(&Limits::default(), [left, right], usize::MAX),
                &expected,
                &format!("{name}, cut at {at}"),
            );
        }
    }
}

#[test]
fn pieces_of_equal_size_change_nothing() {
    for (name, input, ..) in CASES {
        let expected = whole(&Limits::default(), input);
        for size in [1, 2, 3, 7, 16, 41] {
            let pieces = input.chunks(size);
            assert_same(
                &converse(&Limits::default(), pieces, usize::MAX),
                &expected,
                &format!("{name}, pieces of {size}"),
            );
        }
    }
}

/// 413, 414 and 431 are sent as soon as the limit is exceeded. That must not depend on how much
/// input arrived at once.
#[test]
fn splitting_the_input_anywhere_changes_nothing_beyond_a_limit() {
    let limits = small_limits();
    let spaces = |count: usize| " ".repeat(count);
    let cases: &[(&str, String)] = &[
        ("a target that is too long", get(&format!("/small{}", "x".repeat(200)))),
        ("a target that is too long and malformed", get(&format!("/#{}", "x".repeat(200)))),
        (
            "a target of the maximum length",
            get(&format!("/small{}", "x".repeat(limits.target_bytes_max - 6))),
        ),
        (
            "a method that is too long",
            format!("{} /small HTTP/1.1\r\nHost: a\r\n\r\n", "X".repeat(100)),
        ),
        (
            "a version that is too long",
            format!("GET /small {}\r\nHost: a\r\n\r\n", "X".repeat(100)),
        ),
        (
            "a header that is too long",
            format!("GET /small HTTP/1.1\r\nX: {}\r\nHost: a\r\n\r\n", "x".repeat(300)),
        ),
        (
            "too many headers",
            format!("GET /small HTTP/1.1\r\n{}Host: a\r\n\r\n", "X: x\r\n".repeat(60)),
        ),
        ("a target and headers that are too long", {
            format!("GET /{} HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200), "x".repeat(300))
        }),
        (
            "a bare line feed behind the longest head",
            format!("GET /small HTTP/1.1\r\nX:{}\n\r\n\r\n", spaces(300)),
        ),
        (
            "a bare line feed behind the longest line",
            format!("GET /{} HTTP/1.1\n\r\n\r\n", "x".repeat(200)),
        ),
        ("chunks that are too long", {
            let head = "GET /small HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n";
            format!("{head}{}", "4\r\nabcd\r\n".repeat(20))
        }),
        ("a chunk extension that is too long", {
            let head = "GET /small HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n";
            format!("{head}4;{}\r\nabcd\r\n0\r\n\r\n{}", "x".repeat(100), get("/small"))
        }),
    ];
    let mut different = Vec::new();
    for (name, input) in cases {
        let expected = whole(&limits, input.as_bytes());
        let is_same = |at: &usize| {
            let (left, right) = input.as_bytes().split_at(*at);
            converse(&limits, [left, right], usize::MAX) == expected
        };
        different.extend(
            (0..=input.len()).find(|at| !is_same(at)).map(|at| format!("{name}, cut at {at}")),
        );
    }
    assert!(
        different.is_empty(),
        "the responses differ from those to unsplit input: {different:#?}"
    );
}

#[test]
fn each_byte_of_a_head_is_scanned_once() {
    let head =
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "X-Filler: xxxxxxxxxxxxxxx\r\n".repeat(1200));
    let mut bytes = head.into_bytes();
    let mut scan = miniweb::http::HeadScan::default();
    assert_eq!(scan.head(&bytes, &Limits::default()), Ok(None));
    // A second scan of these bytes would find bare line feeds.
    bytes.fill(b'\n');
    bytes.extend_from_slice(b"Last: x\r\n\r\n");
    let head = scan.head(&bytes, &Limits::default()).expect("scanned bytes are not scanned again");
    assert_eq!(head.map(|head| head.bytes().len()), Some(bytes.len()));
}

#[test]
fn a_large_head_in_small_pieces_is_copied_in_linear_time() {
    let head = format!("GET /small HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(31 * 1024));
    let mut peer = Peer::new(Limits::default());
    let copied = allocation_counter::measure(|| {
        for byte in head.as_bytes().chunks(1) {
            peer.send(byte);
        }
    });
    assert_eq!(peer.site.requests, 1);
    // A buffer that doubles allocates less than four times its content in total; one that is
    // reallocated for each piece would allocate half a gigabyte.
    assert!(copied.bytes_total < 4 * head.len() as u64, "{copied:?}");
    assert!(copied.count_total < 64, "{copied:?}");
}

proptest! {
    // A failure that this finds is added to the cases above, where it is readable.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn splitting_random_input_changes_nothing(
        parts in vec(part(), 0..7),
        cuts in vec(any::<Index>(), 0..12),
        write_bytes_max in select(vec![1, 2, 3, 7, 64, 1000, 30_000]),
    ) {
        let input = joined(&parts);
        let expected = whole(&Limits::default(), &input);
        let cut = converse(&Limits::default(), cut(&input, &cuts), write_bytes_max);
        prop_assert_eq!(readable(&cut), readable(&expected));
        prop_assert!(cut == expected);
    }

    #[test]
    fn splitting_random_input_changes_nothing_under_small_limits(
        parts in vec(part(), 0..7),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let input = joined(&parts);
        let expected = whole(&small_limits(), &input);
        let cut = converse(&small_limits(), cut(&input, &cuts), usize::MAX);
        prop_assert_eq!(readable(&cut), readable(&expected));
        prop_assert!(cut == expected);
    }
}

/// A part of the input: mostly requests, well-formed or malformed; sometimes random bytes.
fn part() -> impl Strategy<Value = Text> {
    let bytes = prop_oneof![
        8 => request(),
        2 => select(CASES).prop_map(|(_, input, ..)| input.to_vec()),
        2 => broken_request(),
        1 => (0..300usize).prop_map(|length| get(&format!("/small{}", "x".repeat(length))).into_bytes()),
        1 => vec(select(&b"\r\n GET/:5a0;\0\x80"[..]), 0..12),
    ];
    bytes.prop_map(Text)
}

/// Bytes that `Debug` shows as escaped text.
#[derive(Clone)]
struct Text(Vec<u8>);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = select(vec!["GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "BREW"]);
    let target = select(vec![
        "/small",
        "/large",
        "/deferred",
        "/parts",
        "/empty",
        "/missing?a=b",
        "http://b/small",
        "*",
        "/%",
    ]);
    let version = select(vec!["1.1", "1.1", "1.1", "1.1", "1.0", "1.2", "2.0"]);
    let headers = vec(
        select(vec![
            "Accept: */*\r\n",
            "X:\r\n",
            "Connection: keep-alive\r\n",
            "Connection: ,close\r\n",
            "Host: b\r\n",
        ]),
        0..2,
    );
    (method, target, version, headers, body()).prop_map(
        |(method, target, version, headers, (framing, body))| {
            let headers = headers.concat();
            let head =
                format!("{method} {target} HTTP/{version}\r\n{headers}{framing}Host: a\r\n\r\n");
            [head.as_bytes(), &body].concat()
        },
    )
}

/// The headers that frame a body, and the body.
fn body() -> impl Strategy<Value = (String, Vec<u8>)> {
    let content = || vec(select(&b"GET / \r\n0"[..]), 0..30);
    prop_oneof![
        4 => Just((String::new(), Vec::new())),
        2 => content().prop_map(|content| (format!("Content-Length: {}\r\n", content.len()), content)),
        2 => (vec(content(), 0..4), select(vec!["", ";x", ";x=\"y\"", " ; x = y", ";", ";x y", ";x=\"y"]), select(vec!["", "T: x\r\n"])).prop_map(
            |(chunks, extension, trailer)| {
                let mut body = Vec::new();
                for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                    body.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
                    body.extend(chunk);
                    body.extend(b"\r\n");
                }
                body.extend(format!("0\r\n{trailer}\r\n").bytes());
                ("Transfer-Encoding: chunked\r\n".into(), body)
            }
        ),
        1 => Just(("Expect: 100-continue\r\nContent-Length: 3\r\n".into(), b"abc".to_vec())),
        1 => Just(("Content-Length: 3\r\nContent-Length: 4\r\n".into(), b"abc".to_vec())),
    ]
}

/// A request with one byte changed.
fn broken_request() -> impl Strategy<Value = Vec<u8>> {
    (request(), any::<Index>(), any::<u8>()).prop_map(|(mut request, at, byte)| {
        let at = at.index(request.len());
        request[at] = byte;
        request
    })
}

fn joined(parts: &[Text]) -> Vec<u8> {
    parts.iter().flat_map(|part| part.0.iter().copied()).collect()
}

fn cut<'a>(input: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> =
        cuts.iter().map(|cut| cut.index(input.len() + 1)).chain([input.len()]).collect();
    ends.sort_unstable();
    let starts = [0].into_iter().chain(ends.clone());
    starts.zip(ends).map(|(start, end)| &input[start..end]).collect()
}

/// Limits that a short input can exceed.
fn small_limits() -> Limits {
    Limits {
        target_bytes_max: 16,
        head_bytes_max: 200,
        body_bytes_max: 48,
        requests_max: 5,
        ..Limits::default()
    }
}

fn whole(limits: &Limits, input: &[u8]) -> Transcript {
    converse(limits, [input], usize::MAX)
}

fn assert_same(transcript: &Transcript, expected: &Transcript, what: &str) {
    assert_eq!(readable(transcript), readable(expected), "{what}");
    assert!(transcript == expected, "{what}: the bodies differ");
}

/// The part of a transcript that is readable in a failure: not the bodies.
fn readable(transcript: &Transcript) -> impl PartialEq + std::fmt::Debug + use<> {
    let responses: Vec<_> = responses(&transcript.received)
        .into_iter()
        .map(|a| (a.status, a.path, a.body.len()))
        .collect();
    (responses, transcript.closing, transcript.logged.clone())
}
