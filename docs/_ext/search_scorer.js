// How the search of the documentation ranks: a heading that holds the whole question comes
// first, then pages that explain; what was new, and notebooks, come after them.
var Scorer = {
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
  score: (result) => {
    const [page, , , , score, , kind] = result;
    if (kind === "title") return score + 20;
    if (/^(changelog|architecture|glossary|notebooks\/)/.test(page)) return score - 8;
    return score;
  },
};
