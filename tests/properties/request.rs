//! The request parser, compared with a strict parser of the grammar and with httparse alone.

use miniweb::http::{
    Framing, HeadScan, HeaderStorage, Limits, Method, Request, RequestError, Target, Version,
};

use super::grammar::{self, Head, Stop};

/// Small enough to be exceeded by a short input.
fn limits() -> Limits {
    Limits { target_bytes_max: 100, head_bytes_max: 1000, ..Limits::default() }
}

/// The maximum number of header lines that the parser accepts.
const HEADERS_MAX: usize = 100;

/// The methods that the parser knows.
const METHODS: [&[u8]; 9] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"];

/// The headers that the server reads, and one that it ignores.
const NAMES: [&str; 16] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "expect",
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "accept",
    "accept-encoding",
    "authorization",
    "user-agent",
    "x-other",
];

/// The parser does not panic; a request that it accepts is one according to the grammar, with the
/// same meaning; a request that it refuses breaks the rule that the error names.
pub fn check(input: &[u8]) {
    let limits = limits();
    let scanned = HeadScan::default().head(input, &limits).map(length);
    assert_eq!(
        scanned,
        scanned_byte_by_byte(input, &limits),
        "splitting a head changes the result"
    );
    let head = match scanned {
        Ok(Some(length)) => &input[..length],
        Ok(None) => return,
        Err(error) => return check_scan_refusal(error, input),
    };
    let empty_line = input.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    assert_eq!(
        empty_line.map(|at| at + 4),
        Some(head.len()),
        "the head does not end at the first empty line"
    );

    let mut storage = HeaderStorage::default();
    match Request::parse(head, &mut storage, &limits) {
        Ok(request) => {
            let strict = match grammar::head(head) {
                Ok(strict) => strict,
                Err(stop) => panic!("accepted, but the strict parser says {stop:?}"),
            };
            check_same(&request, &strict);
            check_httparse(head, &strict);
        }
        Err(error) => check_refusal(error, head),
    }
}

/// An incomplete head is refused for the first line feed without a carriage return, for its length,
/// or for the part of the request line that is too long.
fn check_scan_refusal(error: RequestError, input: &[u8]) {
    let line = input.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let [method, target, version] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let is_token = !method.is_empty() && method.iter().all(|byte| grammar::is_tchar(*byte));
    let is_explained = match error {
        RequestError::BareLineFeed => true,
        RequestError::HeadTooLarge => input.len() > limits().head_bytes_max,
        RequestError::TargetTooLong => is_token && target.len() > limits().target_bytes_max,
        RequestError::InvalidMethod => !is_token,
        // The method may continue with other characters beyond the limit.
        RequestError::UnknownMethod => !METHODS.contains(&method),
        RequestError::InvalidVersion => METHODS.contains(&method) && version.len() > 8,
        _ => false,
    };
    let is_long = line.len() > limits().target_bytes_max;
    let is_about_line = !matches!(error, RequestError::BareLineFeed | RequestError::HeadTooLarge);
    assert!(is_explained && (is_long || !is_about_line), "{error:?}");
}

fn length(head: Option<miniweb::http::Head<'_>>) -> Option<usize> {
    head.map(|head| head.bytes().len())
}

fn scanned_byte_by_byte(input: &[u8], limits: &Limits) -> Result<Option<usize>, RequestError> {
    let mut scan = HeadScan::default();
    for end in 0..=input.len() {
        match scan.head(&input[..end], limits).map(length) {
            Ok(None) => {}
            decided => return decided,
        }
    }
    Ok(None)
}

/// The strict parser must refuse the request, too, unless the error is a limit or an unsupported
/// feature.
fn check_refusal(error: RequestError, head: &[u8]) {
    let strict = grammar::head(head);
    let framing = strict.as_ref().map_err(|stop| *stop).and_then(grammar::framing);
    let is_malformed = matches!(framing, Err(Stop::Malformed(_)));
    let is_long_body =
        matches!(framing, Ok(grammar::Framing::Length(n)) if n > limits().body_bytes_max);
    let target_bytes = strict.as_ref().map_or(0, |strict| strict.target.len());
    let header_count = strict.as_ref().map_or(0, |strict| strict.headers.len());
    let is_explained = match error {
        RequestError::TargetTooLong => is_malformed || target_bytes > limits().target_bytes_max,
        RequestError::TooManyHeaders => is_malformed || header_count > HEADERS_MAX,
        RequestError::BodyTooLarge => is_long_body,
        RequestError::UnknownMethod => {
            is_malformed || strict.is_ok_and(|strict| !METHODS.contains(&strict.method))
        }
        RequestError::BareLineFeed
        | RequestError::IncompleteHead
        | RequestError::HeadTooLarge
        | RequestError::MalformedChunk
        | RequestError::HeadTimeout => false,
        RequestError::MalformedRequestLine
        | RequestError::InvalidMethod
        | RequestError::InvalidTarget
        | RequestError::UnknownTargetForm
        | RequestError::InvalidVersion
        | RequestError::UnsupportedVersion
        | RequestError::InvalidHeaderName
        | RequestError::InvalidHeaderValue
        | RequestError::MalformedHeader
        | RequestError::MissingHost
        | RequestError::MultipleHosts
        | RequestError::InvalidHost
        | RequestError::InvalidAuthority
        | RequestError::InvalidContentLength
        | RequestError::ConflictingContentLengths
        | RequestError::AmbiguousFraming
        | RequestError::TransferEncodingInHttp10
        | RequestError::UnsupportedTransferCoding
        | RequestError::ChunkedNotFinal => is_malformed,
    };
    assert!(is_explained, "{error:?}, but the strict parser finds {framing:?}");
    assert!(matches!(error.status().code(), 400 | 413 | 414 | 431 | 501 | 505), "{error:?}");
    assert!(error.message().ends_with('.'), "{error:?}");
}

fn check_same(request: &Request<'_>, strict: &Head<'_>) {
    assert_eq!(request.head.request_line(), strict.line);
    assert_eq!(method_name(request.method), strict.method);
    assert_eq!(request.is_head(), strict.method == b"HEAD");
    assert_eq!(request.version == Version::Http10, strict.minor_version == 0);
    match (request.target, strict.path_and_query()) {
        (Target::Path { path, query }, Some(expected)) => {
            assert_eq!((path, query), expected);
            assert!(path.starts_with(b"/"));
        }
        (Target::Server, None) => assert_eq!(strict.target, b"*"),
        (Target::Authority, None) => {
            assert_eq!(strict.method, b"CONNECT");
            assert!(request.host().is_some_and(|host| strict.target.starts_with(host)));
        }
        (target, expected) => panic!("{target:?}, but the strict parser finds {expected:?}"),
    }
    for name in NAMES {
        assert!(request.headers.values(name).eq(strict.values(name)), "the values of {name}");
        assert!(request.headers.list(name).eq(strict.list(name)), "the members of {name}");
    }
    assert_eq!(request.keep_alive, strict.persists());
    let framing = match request.framing {
        Framing::None => grammar::Framing::None,
        Framing::Length(length) => grammar::Framing::Length(length),
        Framing::Chunked => grammar::Framing::Chunked,
    };
    assert_eq!(Ok(framing), grammar::framing(strict));
    let continues =
        strict.list("expect").iter().any(|member| member.eq_ignore_ascii_case(b"100-continue"));
    assert_eq!(request.expects_continue, continues && strict.minor_version > 0);
}

/// The server parses only the header lines with httparse. Here httparse parses the whole head.
fn check_httparse(head: &[u8], strict: &Head<'_>) {
    let mut storage = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut storage);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) => assert_eq!(length, head.len()),
        // httparse refuses minor versions above 1, which the server accepts.
        Err(httparse::Error::Version) if strict.minor_version > 1 => return,
        other => panic!("accepted, but httparse says {other:?}"),
    }
    assert_eq!(request.method.map(str::as_bytes), Some(strict.method));
    assert_eq!(request.path.map(str::as_bytes), Some(strict.target));
    assert_eq!(request.version, Some(strict.minor_version));
    let headers =
        request.headers.iter().map(|header| (header.name.as_bytes(), header.value.trim_ascii()));
    assert!(headers.eq(strict.headers.iter().copied()), "{:?}", strict.headers);
}

fn method_name(method: Method) -> &'static [u8] {
    match method {
        Method::Get => b"GET",
        Method::Head => b"HEAD",
        Method::Post => b"POST",
        Method::Put => b"PUT",
        Method::Delete => b"DELETE",
        Method::Connect => b"CONNECT",
        Method::Options => b"OPTIONS",
        Method::Trace => b"TRACE",
        Method::Patch => b"PATCH",
    }
}
