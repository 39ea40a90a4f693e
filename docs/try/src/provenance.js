// What glTF tells of a result beside its joints, as olift_fast/io/writers/provenance.py lists it: where it comes from, and
// how it was lifted.

/** The facts of a result as values of JSON, by their names in `LiftedTracks`; what is not known is left out. */
export function provenance(result) {
  const { N, skeleton } = result, rows = [0, 3, 6];
  const facts = {
    program: "olift-fast", model: `${result.model} ${result.version}`, frame: "camera",
    axes: "x right, y down, z away from the camera", units: "pixels", fps: result.fps, tracks: result.tracks,
    skeleton: skeleton.name, joints: skeleton.names, edges: skeleton.edges, sides: skeleton.sides,
    inferred: skeleton.inferred && skeleton.edges.length ? skeleton.edges.map(() => true) : null,
    scale: numbers(result.scale),
    rotation: Array.from({ length: N }, (_, track) => rows.map((row) => numbers(result.rotation.subarray(9 * track + row, 9 * track + row + 3)))),
    image_size: result.imageSize, source: result.source, format: result.format,
    notes: result.notes.length ? result.notes : null, warnings: result.warnings.length ? result.warnings : null,
  };
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== null && value !== undefined));
}

/** The numbers as a list, with null for NaN, which JSON has not. */
function numbers(values) {
  return Array.from(values, (value) => (isFinite(value) ? value : null));
}
