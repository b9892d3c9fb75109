//! Schedules: the grammar of Kubernetes CronJobs, the times they name, and plain English for them.
//!
//! The CronJob controller parses with robfig/cron's standard parser, so exactly that grammar is accepted here: what
//! other dialects add (`L`, `W`, `#`, Sunday as `7`, a sixth field) is refused with the reason, because the cluster
//! would refuse it later and silently. [`Schedule::next_after`] walks real instants in a time zone, so hours that a
//! clock change skips do not fire and days are never counted twice.
//!
//! Called by admission, `validate`, status (`nextSchedule`), wizards and dry runs.

mod words;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScheduleError(String);

fn refuse<T>(cause: impl Into<String>) -> Result<T, ScheduleError> {
    Err(ScheduleError(cause.into()))
}

/// One field: its permitted values as bits, and whether it was written as `*` or `?`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    bits: u64,
    star: bool,
}

impl Field {
    fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| value < 64 && self.bits >> value & 1 == 1)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Fields {
        minute: Field,
        hour: Field,
        day: Field,
        month: Field,
        weekday: Field,
    },
    Every(SignedDuration),
}

/// A parsed schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    rule: Rule,
}

struct Bounds {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTE: Bounds = Bounds {
    name: "minute",
    min: 0,
    max: 59,
    names: &[],
};
const HOUR: Bounds = Bounds {
    name: "hour",
    min: 0,
    max: 23,
    names: &[],
};
const DAY: Bounds = Bounds {
    name: "day of month",
    min: 1,
    max: 31,
    names: &[],
};
const MONTH: Bounds = Bounds {
    name: "month",
    min: 1,
    max: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const WEEKDAY: Bounds = Bounds {
    name: "day of week",
    min: 0,
    max: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl Bounds {
    fn value(&self, text: &str) -> Result<u32, ScheduleError> {
        if let Some(at) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(self.min + u32::try_from(at).unwrap_or(0));
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return refuse(format!(
                "the {} `{text}` is not a number{}",
                self.name,
                if self.names.is_empty() {
                    ""
                } else {
                    " or a three-letter name"
                }
            ));
        }
        let value: u32 = text
            .parse()
            .map_err(|_| ScheduleError(format!("the {} `{text}` is too large", self.name)))?;
        if value < self.min || value > self.max {
            let hint = if self.name == "day of week" && value == 7 {
                "; Sunday is 0"
            } else {
                ""
            };
            return refuse(format!(
                "the {} {value} is not between {} and {}{hint}",
                self.name, self.min, self.max
            ));
        }
        Ok(value)
    }

    fn field(&self, text: &str) -> Result<Field, ScheduleError> {
        let mut field = Field { bits: 0, star: false };
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let one = self.part(part)?;
            field.bits |= one.bits;
            field.star |= one.star;
        }
        if field.bits == 0 {
            return refuse(format!("the {} is empty", self.name));
        }
        Ok(field)
    }

    /// One of `*`, `?`, `n`, `n-m`, each optionally with `/step`.
    fn part(&self, text: &str) -> Result<Field, ScheduleError> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (text, None),
        };
        let any = range == "*" || range == "?";
        let (low, mut high) = if any {
            (self.min, self.max)
        } else if let Some((low, high)) = range.split_once('-') {
            (self.value(low)?, self.value(high)?)
        } else {
            let value = self.value(range)?;
            (value, value)
        };
        let mut width = 1;
        if let Some(step) = step {
            width = step
                .parse::<u32>()
                .ok()
                .filter(|_| step.bytes().all(|byte| byte.is_ascii_digit()))
                .ok_or_else(|| {
                    ScheduleError(format!("the step `{step}` of the {} is not a number", self.name))
                })?;
            if width == 0 {
                return refuse(format!("the step of the {} must not be 0", self.name));
            }
            if !range.contains('-') {
                // `n/step` means from n to the end.
                high = self.max;
            }
        }
        if low > high {
            return refuse(format!(
                "the {} range {low}-{high} ends before it begins",
                self.name
            ));
        }
        let mut bits = 0u64;
        let mut value = low;
        while value <= high {
            bits |= 1 << value;
            value = value.saturating_add(width);
        }
        // A step above one ends the special meaning of `*` for days, as the original parser has it.
        Ok(Field {
            bits,
            star: any && width == 1,
        })
    }
}

impl Schedule {
    /// Parses a schedule: five fields, or `@hourly` and its like, or `@every <duration>`.
    ///
    /// # Errors
    /// When a CronJob would refuse it; the message names the field and the cause.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        if text.contains("TZ=") {
            return refuse("a time zone (`TZ=`, `CRON_TZ=`) is not allowed in the schedule of a CronJob");
        }
        let text = text.trim();
        if text.is_empty() {
            return refuse("the schedule is empty");
        }
        let rule = if text.starts_with('@') {
            descriptor(text)?
        } else {
            fields(text)?
        };
        Ok(Self { rule })
    }

    /// The first time strictly after `after`, in the clock of `zone`. `None` when there is none in the next five years,
    /// as for `0 0 31 2 *`.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every(period) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                whole.checked_add(*period).ok()
            }
            Rule::Fields { .. } => self.walk(after, zone),
        }
    }

    /// The next `count` times after `after`.
    pub fn next_runs(&self, after: Timestamp, zone: &TimeZone, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next_after(after, zone), |&last| self.next_after(last, zone))
            .take(count)
            .collect()
    }

    /// Skips by month, day, hour and minute to the first instant that matches. Every step goes to a later instant, so
    /// the walk ends.
    fn walk(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let Rule::Fields {
            minute, hour, month, ..
        } = &self.rule
        else {
            return None;
        };
        let second = after.as_second();
        let mut at = Timestamp::from_second(second - second.rem_euclid(60) + 60)
            .ok()?
            .to_zoned(zone.clone());
        let limit = at.checked_add(5.years()).ok()?;
        while at <= limit {
            if !month.has(at.month()) {
                let first = at.date().first_of_month().checked_add(1.month()).ok()?;
                at = start_of(first, &at)?;
            } else if !self.day_matches(at.date()) {
                at = start_of(at.date().tomorrow().ok()?, &at)?;
            } else if !hour.has(at.hour()) {
                at = at.checked_add((60 - i64::from(at.minute())).minutes()).ok()?;
            } else if !minute.has(at.minute()) {
                at = at.checked_add(1.minute()).ok()?;
            } else {
                return Some(at.timestamp());
            }
        }
        None
    }

    /// Both day fields must match when one of them is `*`; otherwise either is enough.
    fn day_matches(&self, date: Date) -> bool {
        let Rule::Fields { day, weekday, .. } = &self.rule else {
            return true;
        };
        let by_day = day.has(date.day());
        let by_weekday = weekday.has(date.weekday().to_sunday_zero_offset());
        if day.star || weekday.star {
            by_day && by_weekday
        } else {
            by_day || by_weekday
        }
    }

    /// The schedule in plain English, such as `Every Monday at 02:00`.
    pub fn describe(&self) -> String {
        words::describe(&self.rule)
    }
}

fn start_of(date: Date, like: &Zoned) -> Option<Zoned> {
    date.to_zoned(like.time_zone().clone()).ok()
}

fn fields(text: &str) -> Result<Rule, ScheduleError> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let &[minute, hour, day, month, weekday] = parts.as_slice() else {
        return refuse(format!(
            "a schedule has 5 fields (minute, hour, day of month, month, day of week), this one has {}",
            parts.len()
        ));
    };
    Ok(Rule::Fields {
        minute: MINUTE.field(minute)?,
        hour: HOUR.field(hour)?,
        day: DAY.field(day)?,
        month: MONTH.field(month)?,
        weekday: WEEKDAY.field(weekday)?,
    })
}

fn descriptor(text: &str) -> Result<Rule, ScheduleError> {
    if let Some(period) = text.strip_prefix("@every ") {
        let period = go_duration(period.trim())
            .ok_or_else(|| ScheduleError(format!("`{}` is not a duration such as 1h30m", period.trim())))?;
        // Shorter periods are rounded up to a second by the original, too.
        return Ok(Rule::Every(SignedDuration::from_secs(period.as_secs().max(1))));
    }
    let plain = plain_fields(text);
    if plain == text {
        return refuse(format!(
            "`{text}` is not one of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, @every <duration>"
        ));
    }
    fields(plain)
}

/// The five fields that a descriptor stands for; any other text as it is.
fn plain_fields(text: &str) -> &str {
    match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    }
}

/// Go's duration text, hours to seconds: `1h30m`, `90s`, `1.5h`. Fractions of a second are dropped.
fn go_duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text;
    let mut total = 0f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit_end = rest[end..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |at| end + at);
        total += number
            * match &rest[end..unit_end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" | "μs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    SignedDuration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests;
