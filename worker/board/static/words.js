// Numbers and codes as people read them.

const UNIX_EPOCH_JD = 2440587.5;
const HOUR_MS = 3600000;

export const FLAGS = {
  uncalibrated: "the survey has no calibration yet: the order is right, the percentile is not absolute",
  few_points: "fewer than 10 points: too few to judge",
  late: "a newer alert of this object came before this one",
  near_bright_star: "a bright star is close",
  single_band: "seen in one band only",
  negative_subtraction: "fainter than the reference image",
  mixed_kind: "some points could not be put on the same magnitudes and were left out",
};

export const OUTCOMES = {
  few_points: "withheld: too few points",
  below: "withheld: not strange enough",
  repeated: "withheld: sent before, not stranger now",
};

export const jdToMs = (jd) => (jd - UNIX_EPOCH_JD) * 86400000;

export const date = (jd) => new Date(jdToMs(jd)).toISOString().slice(0, 16).replace("T", " ");

export function age(ms) {
  const hours = Math.max(0, Date.now() - ms) / HOUR_MS;
  if (hours < 100 / 60) return `${Math.round(hours * 60)} min`;
  return hours < 48 ? `${Math.round(hours)} h` : `${Math.round(hours / 24)} d`;
}

export function percentile(row) {
  const p = Math.max(1 - row.percentile / 100, 1e-9);
  const digits = Math.min(5, Math.max(1, Math.ceil(-Math.log10(p)) - 1));
  return (row.provisional ? "~" : "") + row.percentile.toFixed(digits);
}

// How far out: 0 at p = 1, 1 at p = 1e-5.
export const strangeness = (row) => -Math.log10(Math.max(1 - row.percentile / 100, 1e-9)) / 5;

export function oneIn(p) {
  const n = 1 / Math.max(p, 1e-9);
  const round = n < 100 ? Math.round(n) : Number(n.toPrecision(2));
  return `1 in ${round.toLocaleString("en")}`;
}

export const number = (value, digits = 2) =>
  value === null || value === undefined ? "–" : Number(value).toFixed(digits);

export function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return size !== 0 && (size < 0.01 || size >= 1e5) ? value.toExponential(1) : String(+value.toPrecision(3));
}

export function sexagesimal(ra, dec) {
  const part = (value, digits) => {
    let seconds = Math.round(value * 3600 * 10 ** digits) / 10 ** digits;
    const whole = Math.floor(seconds / 3600);
    seconds -= whole * 3600;
    const minutes = Math.floor(seconds / 60);
    const rest = (seconds - minutes * 60).toFixed(digits).padStart(digits + 3, "0");
    return `${String(whole).padStart(2, "0")}:${String(minutes).padStart(2, "0")}:${rest}`;
  };
  return `${part(ra / 15, 2)} ${dec < 0 ? "-" : "+"}${part(Math.abs(dec), 1)}`;
}

export function links(row) {
  const { ra, dec } = row, id = encodeURIComponent(row.objectId);
  const cone = JSON.stringify({
    filters: [{ type: "sky_distance", field: { distance: "0.0014 degree", htm16: { center: `${ra} ${dec}` } } }],
  });
  return {
    ALeRCE: `https://alerce.online/object/${id}`,
    Fink: `https://ztf.fink-portal.org/${id}`,
    Lasair: `https://lasair-ztf.lsst.ac.uk/objects/${id}`,
    ANTARES: `https://antares.noirlab.edu/loci?query=${encodeURIComponent(cone)}`,
    TNS: `https://www.wis-tns.org/search?ra=${ra}&decl=${dec}&radius=5&coords_unit=arcsec`,
    SIMBAD: `https://simbad.cds.unistra.fr/simbad/sim-coo?Coord=${ra}%20${dec}&Radius=0.08`,
    SNAD: `https://ztf.snad.space/search/${ra}%20${dec}/5`,
    "Legacy Survey": `https://www.legacysurvey.org/viewer?ra=${ra}&dec=${dec}&zoom=16`,
    NED: `https://ned.ipac.caltech.edu/conesearch?search_type=Near%20Position%20Search&ra=${ra}d&dec=${dec}d&radius=0.08`,
  };
}
