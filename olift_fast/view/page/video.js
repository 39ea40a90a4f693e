// The video below the 2D panel. Its frame i belongs to the drawn frame i.

const film = { element: null, frame: -1, waiting: null };

async function openVideo() {
  if (!info.video) return;
  const element = document.createElement("video");
  Object.assign(element, { muted: true, loop: true, playsInline: true, preload: "auto" });
  element.setAttribute("playsinline", "");
  if (info.video.source) {
    element.src = info.video.source;
  } else {
    const bytes = Uint8Array.from(atob($("film").textContent), (c) => c.charCodeAt(0));
    element.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
  }
  $("film").remove();
  $("under").append(element);
  const ready = await new Promise((done) => {
    element.onloadeddata = () => done(true);
    element.onerror = () => done(false);
  });
  if (!ready) {
    element.remove();
    const where = info.video.source ? ` ${decodeURIComponent(info.video.source)}, which must lie beside this page,` : "";
    $("missing").textContent = `The video${where} can't be played here.`;
    return;
  }
  film.element = element;
  $("image").on("plotly_afterplot", placeVideo);
  $("image").on("plotly_relayouting", placeVideo);
  placeVideo();
  if (element.requestVideoFrameCallback) {
    const shownNow = (_, { mediaTime }) => {
      film.frame = frameAt(mediaTime);
      film.waiting?.(film.frame);
      element.requestVideoFrameCallback(shownNow);
    };
    element.requestVideoFrameCallback(shownNow);
  }
}

/** The number of the frame at a time of the video. */
function frameAt(time) { return Math.max(0, Math.min(F - 1, Math.floor(time * info.video.rate + 0.01))); }

/** Lays the video below the plot, pixel on pixel, also after the plot was moved or zoomed. */
function placeVideo() {
  const { xaxis, yaxis } = $("image")._fullLayout, [width, height] = info.video.size;
  // The range of the vertical axis starts at the bottom.
  const across = (value) => ((value - xaxis.range[0]) / (xaxis.range[1] - xaxis.range[0])) * xaxis._length;
  const down = (value) => ((value - yaxis.range[1]) / (yaxis.range[0] - yaxis.range[1])) * yaxis._length;
  const place = (element, left, top, wide, tall) => Object.assign(element.style, {
    left: `${left}px`, top: `${top}px`, width: `${wide}px`, height: `${tall}px`,
  });
  place($("under"), xaxis._offset, yaxis._offset, xaxis._length, yaxis._length);
  place(film.element, across(0), down(0), across(width) - across(0), down(height) - down(0));
}

/** Shows frame f of the video; resolves when it is on the screen. While the page plays, the video runs by itself. */
async function showVideo(f) {
  const element = film.element;
  if (!element || state.playing) return;
  const time = (f + 0.5) / info.video.rate;
  if (Math.abs(element.currentTime - time) < 0.25 / info.video.rate && !element.seeking) return;
  await new Promise((done) => {
    film.waiting = (shown) => { if (shown === f) done(); };
    // A hidden page shows no frame, and no frame is shown twice, so this also resolves a while after the seek.
    element.addEventListener("seeked", () => setTimeout(done, element.requestVideoFrameCallback ? 500 : 0), { once: true });
    element.currentTime = time;
  });
  film.waiting = null;
  film.frame = f;
}

/** Starts the video when the page plays; pauses the page if the video can't be played. */
async function playVideo() {
  const element = film.element;
  if (!element) return;
  element.currentTime = (state.frame + 0.5) / info.video.rate;
  element.playbackRate = Number($("speed").value);
  try { await element.play(); } catch { pause(); }
}

function pauseVideo() { if (film.element) film.element.pause(); }

/** The number of the video's frame on the screen; null without a video. */
function videoFrame() {
  const element = film.element;
  if (!element) return null;
  element.playbackRate = Number($("speed").value);
  return element.requestVideoFrameCallback ? film.frame : frameAt(element.currentTime);
}
