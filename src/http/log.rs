//! The logs over HTTP. The certificate log in two views: static-ct-api here, RFC 6962 in `rfc6962`.
//!
//! ```text
//! /ct/<shard>/checkpoint              the signed head, with the cosignatures that it has by now
//! /ct/<shard>/checkpoint.cosigned     the newest one that enough witnesses have cosigned
//! /ct/<shard>/tile/<L>/<N>[.p/<W>]    hashes
//! /ct/<shard>/tile/data/<N>[.p/<W>]   entries
//! /ct/<shard>/issuer/<hex>            one certificate of the authority's chain
//! /ct/<shard>/log.v3.json             what the log is
//! /ct/<shard>/ct/v1/get-…             what RFC 6962 asks for
//! /ct/<shard>/ct/v1/add-[pre-]chain   403: this log has one submitter
//! ```
//!
//! A signature log has checkpoint and tiles alone, its entries below `tile/entries/`, and all of it below
//! `/tlog/<shard>/api/v2/`.
//!
//! Whoever may read (`access`) may do so from any origin. What is published never changes and may
//! be kept for good; what is not there yet will be, so an error may not be kept at all.
//!
//! Spec: C2SP static-ct-api; RFC 6962 §4.

use std::convert::Infallible;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::handler::Handler;
use axum::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY,
};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use crate::authority::succession::Succession;
use crate::log::Log;
use crate::tlog::merkle::Hash;
use crate::tlog::tile::{TileKind, TilePath};
use problem::Problem;

mod about;
mod problem;
mod query;
mod rfc6962;

/// The highest level of hash tiles in a log of 2^40 entries, the most that there can be.
const MAX_TILE_LEVEL: u8 = 5;

/// What every route shares.
#[derive(Clone)]
struct Served {
    log: Log,
    /// The authority's chains, to whose roots the entries lead.
    succession: Succession,
    scheme: &'static str,
}

impl FromRef<Served> for Log {
    fn from_ref(served: &Served) -> Self {
        served.log.clone()
    }
}

/// The routes of a certificate log, below the path of its origin: `/ct/<shard>`.
///
/// `succession` has the authority's chains, to whose roots the entries lead; `scheme` that of the log's address. The
/// router brings its own state and merges with one of any other.
pub fn routes<S: Clone + Send + Sync + 'static>(
    log: Log,
    succession: Succession,
    scheme: &'static str,
) -> Router<S> {
    let prefix = prefix(log.origin()).to_owned();
    let served = Served { log, succession, scheme };
    let log = Router::new()
        .route("/checkpoint", readable(checkpoint))
        .route("/checkpoint.cosigned", readable(cosigned))
        .route("/log.v3.json", readable(about))
        .route("/tile/{*path}", readable(tile))
        .route("/issuer/{fingerprint}", readable(issuer))
        .merge(rfc6962::routes())
        .fallback(async || Problem::NoRoute)
        .method_not_allowed_fallback(async || Problem::Method)
        .with_state(served);
    if prefix.is_empty() { log } else { Router::new().nest(&prefix, log) }
}

/// The routes of a shard of the signature log, below `/tlog/<shard>/api/v2`.
pub fn tiles<S: Clone + Send + Sync + 'static>(log: Log) -> Router<S> {
    let path = format!("/tlog/{}/api/v2", log.shard());
    let log = Router::new()
        .route("/checkpoint", readable(checkpoint))
        .route("/tile/{*path}", readable(tile))
        .fallback(async || Problem::NoRoute)
        .method_not_allowed_fallback(async || Problem::Method)
        .with_state(log);
    Router::new().nest(&path, log)
}

/// The path of an origin: what follows its host, with the slash.
fn prefix(origin: &str) -> &str {
    origin.find('/').and_then(|slash| origin.get(slash..)).unwrap_or_default()
}

/// A route that is read: GET and HEAD, and OPTIONS for whoever's script asks before it reads.
fn readable<H, T, S>(handler: H) -> MethodRouter<S, Infallible>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    get(handler).options(async || {
        let headers = [
            (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
            (ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        ];
        (StatusCode::NO_CONTENT, headers)
    })
}

async fn checkpoint(State(log): State<Log>) -> Result<Response, Problem> {
    let checkpoint = log.checkpoint().await?;
    Ok(found(Content::Checkpoint, checkpoint))
}

async fn cosigned(State(served): State<Served>) -> Result<Response, Problem> {
    let checkpoint = served.log.cosigned_checkpoint().ok_or(Problem::NotCosigned)?;
    Ok(found(Content::Checkpoint, checkpoint))
}

async fn about(State(served): State<Served>) -> Response {
    let Served { log, scheme, succession } = served;
    let chains = succession.all();
    let since = chains.iter().map(|it| it.chain.not_before()).min().unwrap_or_default();
    found(Content::About, about::log_v3(&log, scheme, since).to_string())
}

async fn tile(State(log): State<Log>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let path = tile_path(uri.path(), log.form().tiles()).ok_or(Problem::TilePath)?;
    if path.kind != log.form().tiles() {
        let tile = log.tile(path).await?.ok_or(Problem::NoTile)?;
        return Ok(found(Content::Tile, tile));
    }
    let compressed = path.is_full() && accepts_gzip(&headers);
    let tile = match compressed {
        true => log.compressed_tile(path).await?,
        false => log.tile(path).await?,
    };
    let mut response = found(Content::Tile, tile.ok_or(Problem::NoTile)?);
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if compressed {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// Whether the reader wants gzip where it can be had: it is named, by either of its names or as one of
/// all, and not with a weight of 0.
///
/// Spec: RFC 9110 §12.5.3, §12.4.2.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let codings: Vec<_> = values.flat_map(|value| value.split(',')).map(coding).collect();
    let of = |names: &[&str]| {
        let mut named =
            codings.iter().filter(|(is, _)| names.iter().any(|n| n.eq_ignore_ascii_case(is)));
        named.next().map(|(_, wanted)| *wanted)
    };
    of(&["gzip", "x-gzip"]).or(of(&["*"])).unwrap_or(false)
}

/// The name of a coding, and whether it is wanted.
fn coding(text: &str) -> (&str, bool) {
    let mut parts = text.split(';');
    let name = parts.next().unwrap_or_default().trim();
    let mut parameters = parts.filter_map(|part| part.split_once('='));
    let weight = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    (name, weight.is_none_or(|(_, weight)| is_positive(weight.trim())))
}

/// Whether it is a weight, and more than nothing: `1`, `0.5`, `0.001`.
fn is_positive(weight: &str) -> bool {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let is_nothing = fraction.bytes().all(|digit| digit == b'0');
    let is_number = fraction.len() <= 3 && fraction.bytes().all(|digit| digit.is_ascii_digit());
    is_number && (whole == "1" && is_nothing || whole == "0" && !is_nothing)
}

async fn issuer(State(served): State<Served>, uri: Uri) -> Result<Response, Problem> {
    let fingerprint = issuer_path(uri.path()).ok_or(Problem::NoIssuer)?;
    let der = served.log.issuer(fingerprint.0).await?.ok_or(Problem::NoIssuer)?;
    Ok(found(Content::Issuer, der))
}

/// The tile that a request's path names, of hashes or of entries, which are tiles of kind `entries`.
///
/// Attack: the path is taken as it was sent. Decoded first, `x001%2F002` would be a second name of
/// a tile, which a cache keeps apart from the first.
fn tile_path(path: &str, entries: TileKind) -> Option<TilePath> {
    let tile: TilePath = path.strip_prefix("/tile/")?.parse().ok()?;
    match tile.kind {
        TileKind::Hashes { level } if level <= MAX_TILE_LEVEL => Some(tile),
        TileKind::Data | TileKind::Entries if tile.kind == entries => Some(tile),
        TileKind::Hashes { .. } | TileKind::Data | TileKind::Entries => None,
    }
}

fn issuer_path(path: &str) -> Option<Hash> {
    path.strip_prefix("/issuer/")?.parse().ok()
}

/// What an answer holds.
#[derive(Clone, Copy)]
enum Content {
    Checkpoint,
    Tile,
    Issuer,
    /// RFC 6962's signed head.
    Head,
    /// An answer that will always be the same.
    Final,
    /// Entries up to the end of the log.
    Growing,
    Roots,
    About,
}

impl Content {
    /// Media type, and how long it may be kept.
    const fn headers(self) -> (&'static str, &'static str) {
        const JSON: &str = "application/json";
        const FOR_GOOD: &str = "public, max-age=604800, immutable";
        match self {
            Self::Checkpoint => ("text/plain; charset=utf-8", "no-cache"),
            Self::Tile => ("application/octet-stream", FOR_GOOD),
            Self::Issuer => ("application/pkix-cert", FOR_GOOD),
            Self::Head | Self::Roots | Self::About => (JSON, "no-cache"),
            Self::Final => (JSON, "public, max-age=86400"),
            Self::Growing => (JSON, "public, max-age=60"),
        }
    }
}

fn found(content: Content, body: impl IntoResponse) -> Response {
    let (media_type, caching) = content.headers();
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CACHE_CONTROL, HeaderValue::from_static(caching)),
        (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_the_origin_without_its_host() {
        assert_eq!(prefix("ca.example.com/ct/2026"), "/ct/2026");
        assert_eq!(prefix("localhost:5555/ct/2026"), "/ct/2026");
        assert_eq!(prefix("ca.example.com"), "");
    }

    #[track_caller]
    fn check(path: &str, tile: Option<&str>) {
        assert_eq!(
            tile_path(path, TileKind::Data).map(|tile| tile.to_string()).as_deref(),
            tile,
            "{path}"
        );
    }

    #[test]
    fn a_tile_has_one_path() {
        check("/tile/0/x001/x234/067", Some("0/x001/x234/067"));
        check("/tile/5/000.p/1", Some("5/000.p/1"));
        check("/tile/data/x001/000.p/255", Some("data/x001/000.p/255"));
        check("/tile/data/x001%2F000", None);
        check("/tile/data/%30%30%30", None);
        check("/tile/data/000/", None);
        check("/tile/data//000", None);
        check("/tile//data/000", None);
        check("/tile/data/000.p/256", None);
        check("/tile/data/000.p/0", None);
        check("/tile/data/x000/001", None);
        check("/tile/06/000", None);
        // Other logs have these.
        check("/tile/6/000", None);
        check("/tile/entries/000", None);
        check("/tile/names/000", None);
    }

    #[test]
    fn an_issuer_has_one_path() {
        let hex = Hash::EMPTY.to_string();
        assert_eq!(issuer_path(&format!("/issuer/{hex}")), Some(Hash::EMPTY));
        assert_eq!(issuer_path(&format!("/issuer/{}", hex.to_uppercase())), None);
        assert_eq!(issuer_path(&format!("/issuer/{hex}0")), None);
        assert_eq!(issuer_path("/issuer/"), None);
    }

    #[test]
    fn whoever_asks_for_gzip_gets_it() {
        for (coding, accepted) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=1", true),
            ("gzip; q=0", false),
            ("gzip;q=0.000", false),
            ("gzip;q=none", false),
            ("gzip;Q = 0", false),
            ("gzip ; q= 0.0", false),
            ("GZIP\t;\tQ=0.001", true),
            ("gzip;q=1.000", true),
            ("gzip;q=1.001", false),
            ("gzip;q=0.0001", false),
            ("gzip;q=inf", false),
            ("gzip;q=", false),
            ("gzip;level=9;q=0", false),
            ("x-gzip", true),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("*;q=0, gzip", true),
            ("br;q=1, identity", false),
            ("x-gzip-2", false),
            ("identity", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, coding.parse().unwrap())]);
            assert_eq!(accepts_gzip(&headers), accepted, "{coding}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    fn header(response: &Response, name: axum::http::HeaderName) -> &str {
        response.headers().get(name).unwrap().to_str().unwrap()
    }

    #[test]
    fn what_is_published_may_be_kept_and_the_head_may_not() {
        for (content, media_type, caching) in [
            (Content::Checkpoint, "text/plain; charset=utf-8", "no-cache"),
            (Content::Tile, "application/octet-stream", "public, max-age=604800, immutable"),
            (Content::Issuer, "application/pkix-cert", "public, max-age=604800, immutable"),
            (Content::Head, "application/json", "no-cache"),
            (Content::Final, "application/json", "public, max-age=86400"),
            (Content::Growing, "application/json", "public, max-age=60"),
            (Content::Roots, "application/json", "no-cache"),
        ] {
            let response = found(content, vec![1_u8]);
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(header(&response, CONTENT_TYPE), media_type);
            assert_eq!(header(&response, CACHE_CONTROL), caching);
            assert_eq!(header(&response, ACCESS_CONTROL_ALLOW_ORIGIN), "*");
            assert_eq!(response.headers().get_all(CONTENT_TYPE).iter().count(), 1);
        }
    }
}
