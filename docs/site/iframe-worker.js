// A browser starts no Worker from a file on a disk. There, the search's Worker runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc =
        '<script>receive = postMessage; postMessage = data => parent.postMessage(data, "*")</script>' +
        `<script src="${String(url).replaceAll('"', "%22")}"></script>`;
      this.loaded = new Promise(resolve => this.frame.addEventListener("load", resolve));
      addEventListener("message", event => {
        if (event.source === this.frame.contentWindow)
          this.dispatchEvent(new MessageEvent("message", { data: event.data }));
      });
      document.body.append(this.frame);
    }

    postMessage(data) {
      this.loaded.then(() => this.frame.contentWindow.receive(data, "*"));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
