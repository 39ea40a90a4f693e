// The start of the page, and `window.olift` for scripts.

const olift = window.olift = {
  frameCount: F,
  get frame() { return state.frame; },
  /** The frame of the video on the screen; -1 without a video. */
  get videoFrame() { return film.frame; },
  /** Draws frame i; resolves when it is on the screen, with its video frame. */
  setFrame(i) { pause(); return draw(clamp(i)); },
  /** The joints of the drawn frame, [track][joint] = [x, y, z] as in the file, or null for no joint. */
  positions() { return info.tracks.map((_, n) => info.joints.map((_, j) => joint(state.frame, n, j))); },
  play, pause, follow,
};
olift.ready = start().catch((error) => { $("message").textContent = `This page cannot be shown: ${error.message}`; throw error; });

async function start() {
  if (!("DecompressionStream" in window)) throw new Error("it needs a browser of 2023 or later");
  setTheme(options.get("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  const [blob, plotly] = await Promise.all([unpack("blob"), unpack("plotly")]);
  data = split(blob);
  const script = document.createElement("script");
  script.textContent = new TextDecoder().decode(plotly);
  document.head.append(script);
  describe();
  buildLegend();
  buildJoints();
  showJoints(innerWidth >= 1200);
  $("trails").setAttribute("aria-pressed", String(state.trails));
  await buildPlots();
  await openVideo();
  connect();
  $("message").textContent = "";
  const asked = options.get("frame");
  await draw(asked === null ? firstFrame() : clamp(Number(asked)));
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (asked === null && F > 1 && !still) play();
}
