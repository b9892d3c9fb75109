//! Sizes as they stand in status: bytes to text and back.
//!
//! The text is KubeStash's: binary units with three decimals above 1 KiB (strictly greater, so 1024 bytes are still
//! `1024 B`), one blank before the unit. Phases, Repository totals and the CLI read what other versions wrote, so
//! [`parse`] takes every unit the format ever had.

const UNITS: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

/// Bytes as text: `12.345 MiB`, `1024 B`.
pub fn format(bytes: u64) -> String {
    for (name, factor) in UNITS {
        if bytes > factor {
            // Three decimals: what a float cannot hold of a size above 2^53 would not be shown anyway.
            #[allow(clippy::cast_precision_loss)]
            let value = bytes as f64 / factor as f64;
            return format!("{value:.3} {name}");
        }
    }
    format!("{bytes} B")
}

/// Text as bytes, rounded to whole ones. `None` when it is not a size.
pub fn parse(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let number: f64 = number.parse().ok()?;
    let factor = match unit.trim() {
        "B" => 1,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    if !number.is_finite() || number < 0.0 {
        return None;
    }
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    Some((number * factor as f64).round() as u64)
}

/// The sum of several sizes; texts that are no size are left out.
pub fn sum<'a>(sizes: impl IntoIterator<Item = &'a str>) -> u64 {
    sizes.into_iter().filter_map(parse).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_begin_strictly_above_their_size() {
        assert_eq!(format(0), "0 B");
        assert_eq!(format(1024), "1024 B");
        assert_eq!(format(1025), "1.001 KiB");
        assert_eq!(format(1 << 20), "1024.000 KiB");
        assert_eq!(format(5 << 30), "5.000 GiB");
        assert_eq!(format((1 << 40) + (1 << 39)), "1.500 TiB");
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "12", "12 XB", "x MiB", "-1 B", "inf B"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(sum(["1 B", "nonsense", "1.000 KiB"]), 1025);
    }

    proptest! {
        #[test]
        fn a_round_trip_loses_less_than_a_thousandth(bytes in 0u64..1 << 50) {
            let back = parse(&format(bytes)).unwrap();
            prop_assert!(back.abs_diff(bytes) <= bytes / 1000 + 1);
        }
    }
}
