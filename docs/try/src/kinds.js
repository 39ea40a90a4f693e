// What kind of joint a name tells of, as olift_fast/tracks/kinds.py says it. Of limbs only the joints where they begin
// have the kind's own name, which is all that animations ask for: others have that of their part.

import { readNames } from "./joint_names.js";

const GIRDLES = ["fore", "mid", "hind"];
const FIRST = ["shoulder", "mid_coxa", "hip"];
const OF_LIMB = { collar: ["collar", "mid_coxa", "hip"], shoulder: FIRST, hip: FIRST, coxa: FIRST };

/** (J) the kind of each joint; "unknown" where its name says nothing. */
export function kindsOf(names) {
  return readNames(names).map((part) => (part ? OF_LIMB[part.part]?.[GIRDLES.indexOf(part.girdle)] ?? part.part : "unknown"));
}
