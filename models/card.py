"""The card of an artefact: what it was made from, what it is for, what it can't do."""

from collections.abc import Mapping
from typing import Any

CARD = "card.md"


LIMITS = """## Never an input
Number of points, span, cadence, mean magnitude: they tell the survey, not the star.

## Limits
- Calibrated for the survey `simulated` alone. Elsewhere p is provisional until
  `anomaly-worker model calibrate` has made a calibration from the stream itself or its archive.
- Weak at 20 points; below 10 hardly better than chance, and withheld by default.
- "Strange" can mean "rare class, few points": compare `p_class`.
- Periods above 16 per day and below the span are not looked for.
"""


def card_text(record: Mapping[str, Any]) -> str:
    """Markdown from the record that config.json holds."""
    checks = "\n".join(f"| {name} | {value:.4g} |" for name, value in record["checks"].items())
    return f"""# {record["name"]} {record["version"]}

Scores how unlike the known classes of variable objects a light curve is. Larger is stranger.

{_parts(record)}
{_training_data(record["fit"])}
{LIMITS}
## Checks that the fit had to pass

| check | value |
|---|---|
{checks}
"""


def _parts(record: Mapping[str, Any]) -> str:
    """What the artefact is made of."""
    seen = sum(record.get("curves_seen", {}).values())
    encoder, seeds = record["encoder"], record["fit"]["recipe"]["seeds"]
    steps = record.get("training", {}).get("steps", "?")
    left_out = ", ".join(record.get("curves_left_out", [])) or "nothing"
    return f"""## Parts
- **Encoder** of {encoder["layers"]} layers, width {encoder["width"]}: sees the
  newest {encoder["window"]} points of one band (time, magnitude, error) and predicts
  properties of the whole curve. Trained for {steps} steps on {seen:,} curves
  without their labels; the anomaly curves of {left_out} were left out.
- **Heads** on two views that are never concatenated, features measured on the curve and the
  encoder's output: MCDSVDD and a classifier of the same body, {seeds} seeds each. The measured
  features have heads of their own from 40 points on, where they know the period.
- **Score**: mean over channels of the distance to the five nearest training objects in each
  latent, as it is and by direction, each channel centred and scaled by unseen inliers of the same
  number of points; a fifth of what `s_input` exceeds one deviation is added. With a period, a
  quarter of the logarithm of a neighbourhood's own scale is taken off a distance. `s1`:
  MCDSVDD's own distance. `s_input`: distance to the ten nearest training inputs.
- **Classes**: {", ".join(record["classes"])}.
"""


def _training_data(fit: Mapping[str, Any]) -> str:
    """What the heads were fitted on."""
    curves = fit["curves"]
    return f"""## Training data of the heads
{curves["fit"]:,} curves of public surveys and of this project's simulator train, \
{curves["val"]:,} stop the training and scale the channels, {curves["cal"]:,}
give the provisional p. No source whose terms forbid commercial use. At most \
{fit["largest_class"]:,}
curves per class, evenly over surveys; whole curves and random short pieces of them.
The file keeps standardised inputs and classes of training objects, never ids, times, magnitudes.
"""
