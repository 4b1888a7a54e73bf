// Which episodes are listed, and in which order.

const SUCCESS = { yes: true, no: false, unjudged: null };
const FLAGS = {
  defects: (episode) => episode.defects > 0,
  recovered: (episode) => episode.recovered,
  drops: (episode) => numDrops(episode) > 0,
  trimmed: (episode) => episode.length < episode.recorded,
};
const ORDER = {
  index: (episode) => episode.index,
  length: (episode) => episode.length,
  task: (episode) => episode.task,
  success: (episode) => (episode.success === null ? 2 : episode.success ? 0 : 1),
  weight: (episode) => episode.weight,
  defects: (episode) => episode.defects,
};

export const numDrops = (episode) => Object.values(episode.drops).reduce((a, b) => a + b, 0);

// Every word must occur in the task, a tag or the split; a bare number may also be the episode's.
function matches(episode, words) {
  const text = [episode.task, ...episode.tags, episode.split].join("\n").toLowerCase();
  const number = String(episode.index);
  return words.every(
    (word) => text.includes(word) || word === number || word === "#" + number ||
      (word.length >= 6 && episode.uuid.startsWith(word)),
  );
}

export function choose(episodes, wanted) {
  const words = wanted.search.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = episodes.filter(
    (episode) =>
      (!wanted.success || episode.success === SUCCESS[wanted.success]) &&
      (!wanted.flag || FLAGS[wanted.flag](episode)) &&
      (!wanted.tag || episode.tags.includes(wanted.tag)) &&
      (!wanted.split || episode.split === wanted.split) &&
      matches(episode, words),
  );
  const key = ORDER[wanted.order];
  const sign = wanted.descending ? -1 : 1;
  // Equal ones keep the order of their numbers.
  return chosen.sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    return x < y ? -sign : x > y ? sign : a.index - b.index;
  });
}
