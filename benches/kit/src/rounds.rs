//! Alternating rounds, so that other load on the machine affects all sides equally.

/// The sides of a comparison with the floor.
#[derive(Debug, Clone, Copy)]
pub enum Side {
    /// The floor's.
    Floor,
    /// The store's.
    Ours,
}

/// Samples of floor and store.
#[derive(Debug)]
pub struct BesideFloor {
    /// One per round.
    pub floor: Vec<f64>,
    /// One per round.
    pub ours: Vec<f64>,
}

/// Measures floor and store once a round.
///
/// # Errors
///
/// Those of the measurement.
pub async fn beside_floor(
    rounds: usize,
    measure: impl AsyncFnMut(Side) -> anyhow::Result<f64>,
) -> anyhow::Result<BesideFloor> {
    let mut samples = interleaved(rounds, &[Side::Floor, Side::Ours], measure)
        .await?
        .into_iter();
    let mut next = || samples.next().unwrap_or_default();
    Ok(BesideFloor {
        floor: next(),
        ours: next(),
    })
}

/// Measures each side once a round. The samples are in the order of the sides.
///
/// # Errors
///
/// Those of the measurement.
pub async fn interleaved<S: Copy>(
    rounds: usize,
    sides: &[S],
    mut measure: impl AsyncFnMut(S) -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut samples = vec![Vec::with_capacity(rounds); sides.len()];
    for round in 0..rounds {
        for side in turns(round, sides.len()) {
            samples[side].push(measure(sides[side]).await?);
        }
    }
    Ok(samples)
}

/// Order of the sides in a round (a Williams design): over the rounds, each side comes first, and
/// follows each other side, equally often, because each side finds the disk as the one before left
/// it.
pub fn turns(round: usize, sides: usize) -> impl Iterator<Item = usize> {
    let is_mirrored = sides % 2 == 1 && (round / sides) % 2 == 1;
    (0..sides).map(move |turn| {
        let turn = if is_mirrored { sides - 1 - turn } else { turn };
        let step = if turn % 2 == 0 {
            turn / 2
        } else {
            sides - turn.div_ceil(2)
        };
        (round + step) % sides
    })
}

/// The median; of an even number of values, the mean of the two in the middle.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}
