//! Durations as Go writes them: `30s`, `1h0m0s`, `21.570479502s`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A signed span of time with nanosecond precision. Reads what Go's `time.ParseDuration` reads, and writes what Go's
/// `Duration.String` writes, so that objects stay byte-equal to those written by Go programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    nanoseconds: i64,
}

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid duration \"{0}\": expected a sequence of numbers with units, such as 30s or 1h30m")]
pub struct ParseDurationError(pub String);

impl Duration {
    /// From nanoseconds.
    #[must_use]
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self { nanoseconds }
    }

    /// From whole seconds; saturates at the ends of the range (292 years).
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self {
            nanoseconds: seconds.saturating_mul(SECOND),
        }
    }

    /// The length in nanoseconds.
    #[must_use]
    pub const fn as_nanoseconds(self) -> i64 {
        self.nanoseconds
    }

    /// The length in whole seconds, towards zero.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.nanoseconds / SECOND
    }

    /// The same length rounded to the nearest second, halves away from zero.
    #[must_use]
    pub const fn rounded_to_seconds(self) -> Self {
        let half = if self.nanoseconds < 0 {
            -SECOND / 2
        } else {
            SECOND / 2
        };
        Self::from_secs(self.nanoseconds.saturating_add(half) / SECOND)
    }

    /// For timers: the same length, or zero when negative.
    #[must_use]
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.nanoseconds).unwrap_or(0))
    }
}

impl From<std::time::Duration> for Duration {
    /// Saturates at the end of the range (292 years).
    fn from(span: std::time::Duration) -> Self {
        Self {
            nanoseconds: i64::try_from(span.as_nanos()).unwrap_or(i64::MAX),
        }
    }
}

impl From<jiff::SignedDuration> for Duration {
    /// Saturates at the ends of the range (292 years).
    fn from(span: jiff::SignedDuration) -> Self {
        let end = if span.is_negative() { i64::MIN } else { i64::MAX };
        Self {
            nanoseconds: i64::try_from(span.as_nanos()).unwrap_or(end),
        }
    }
}

impl From<Duration> for jiff::SignedDuration {
    fn from(span: Duration) -> Self {
        jiff::SignedDuration::from_nanos(span.nanoseconds)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanoseconds == 0 {
            return f.pad("0s");
        }
        let sign = if self.nanoseconds < 0 { "-" } else { "" };
        let size = self.nanoseconds.unsigned_abs();
        let second = SECOND.unsigned_abs();
        let text = if size < MICROSECOND.unsigned_abs() {
            format!("{sign}{size}ns")
        } else if size < MILLISECOND.unsigned_abs() {
            format!("{sign}{}µs", decimal(size, MICROSECOND.unsigned_abs()))
        } else if size < second {
            format!("{sign}{}ms", decimal(size, MILLISECOND.unsigned_abs()))
        } else {
            let (hours, rest) = (size / HOUR.unsigned_abs(), size % HOUR.unsigned_abs());
            let (minutes, rest) = (rest / MINUTE.unsigned_abs(), rest % MINUTE.unsigned_abs());
            let seconds = decimal(rest, second);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, _) => format!("{sign}{minutes}m{seconds}s"),
                _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        };
        f.pad(&text)
    }
}

/// `amount / unit` as a decimal number without trailing zeros; `unit` is a power of ten.
fn decimal(amount: u64, unit: u64) -> String {
    let (whole, rest) = (amount / unit, amount % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

impl FromStr for Duration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text)
            .and_then(|nanoseconds| i64::try_from(nanoseconds).ok())
            .map(Self::from_nanoseconds)
            .ok_or_else(|| ParseDurationError(text.to_owned()))
    }
}

/// Reads a whole duration as nanoseconds, however many; `None` when the text is malformed.
fn parse(text: &str) -> Option<i128> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (amount, after) = parse_one(rest)?;
        total = total.saturating_add(amount);
        rest = after;
    }
    Some(if negative { -total } else { total })
}

/// Reads one `<number><unit>`: its length in nanoseconds, and what follows it.
fn parse_one(text: &str) -> Option<(i128, &str)> {
    let (whole, after_whole) = split_digits(text);
    let (fraction, after_number) = match after_whole.strip_prefix('.') {
        Some(after_point) => split_digits(after_point),
        None => ("", after_whole),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_end = after_number
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(after_number.len());
    let (unit, after) = after_number.split_at(unit_end);
    let scale = i128::from(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    });
    // The only thing that can be wrong with digits is that there are too many.
    let mut amount = match whole {
        "" => 0,
        _ => i128::from(whole.parse::<i64>().unwrap_or(i64::MAX)),
    };
    amount *= scale;
    // Digits beyond nanoseconds of an hour are without effect; Go drops them too.
    let fraction = &fraction[..fraction.len().min(18)];
    if !fraction.is_empty() {
        let digits = u32::try_from(fraction.len()).ok()?;
        amount += i128::from(fraction.parse::<i64>().ok()?) * scale / 10_i128.pow(digits);
    }
    Some((amount, after))
}

/// Splits off the leading ASCII digits.
fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    /// A length out of range becomes the longest there is: the schema cannot refuse it, and one object that cannot be
    /// read would end a watch.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let nanoseconds = parse(&text)
            .ok_or_else(|| de::Error::custom(ParseDurationError(text.clone().into_owned())))?
            .clamp(i64::MIN.into(), i64::MAX.into());
        i64::try_from(nanoseconds)
            .map(Self::from_nanoseconds)
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^[+-]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_as_go_does() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (58 * SECOND, "58s"),
            (62 * SECOND, "1m2s"),
            (HOUR, "1h0m0s"),
            (24 * HOUR + 5 * MINUTE + 30 * SECOND, "24h5m30s"),
            (21_570_479_502, "21.570479502s"),
            (4 * MINUTE + 5 * SECOND + MILLISECOND, "4m5.001s"),
            (-90 * SECOND, "-1m30s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            let duration = Duration::from_nanoseconds(nanoseconds);
            assert_eq!(duration.to_string(), text);
            assert_eq!(text.parse(), Ok(duration));
        }
    }

    #[test]
    fn reads_what_go_reads() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("30s", 30 * SECOND),
            ("1h30m", 90 * MINUTE),
            ("+5s", 5 * SECOND),
            ("-5.s", -5 * SECOND),
            (".5h", 30 * MINUTE),
            ("1.5h", 90 * MINUTE),
            ("100us", 100 * MICROSECOND),
            ("0.3333333333333333333h", 20 * MINUTE - 1),
        ] {
            assert_eq!(
                text.parse(),
                Ok(Duration::from_nanoseconds(nanoseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "-",
            "3",
            ".",
            "s",
            ".s",
            "1d",
            "1h ",
            "1x",
            "9999999999h",
            "1e3s",
            "é",
        ] {
            assert_eq!(text.parse::<Duration>(), Err(ParseDurationError(text.to_owned())));
        }
    }

    #[test]
    fn rounds_halves_away_from_zero() {
        let rounded = |n| Duration::from_nanoseconds(n).rounded_to_seconds().as_secs();
        assert_eq!(
            [
                rounded(1_499_999_999),
                rounded(1_500_000_000),
                rounded(-1_500_000_000)
            ],
            [1, 2, -2]
        );
    }

    #[test]
    fn survives_json() {
        let duration: Duration = serde_json::from_str("\"90m\"").unwrap();
        assert_eq!(serde_json::to_string(&duration).unwrap(), "\"1h30m0s\"");
        let endless: Duration = serde_json::from_str("\"-99999999999999999999h\"").unwrap();
        assert_eq!(endless.as_nanoseconds(), i64::MIN);
        assert!(serde_json::from_str::<Duration>("\"soon\"").is_err());
    }
}
