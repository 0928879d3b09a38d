// Text comes from the web: it is only ever set through textContent and attributes.
export default function ({ data, parentElement }) {
  const cards = data.cards.map((card) => {
    const figure = document.createElement("figure");
    figure.setAttribute("role", "listitem");
    figure.classList.toggle("marked", card.marked);
    const shown = typeof card.picture === "string" && card.picture.startsWith("data:image/");
    const picture = document.createElement(shown ? "img" : "div");
    if (shown) {
      picture.src = card.picture;
      picture.alt = card.lines.join(", ");
    } else {
      picture.className = "none";
      picture.textContent = "no picture";
    }
    const caption = document.createElement("figcaption");
    for (const line of card.lines) {
      const element = document.createElement("div");
      element.textContent = line;
      caption.append(element);
    }
    figure.append(picture, caption);
    return figure;
  });
  parentElement.querySelector(".gallery").replaceChildren(...cards);
}
