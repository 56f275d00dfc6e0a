// The emoji names that come up; any other name stays as it was written.

const EMOJI = {
  smile: "😄", grinning: "😀", joy: "😂", blush: "😊", wink: "😉", thinking_face: "🤔", neutral_face: "😐",
  disappointed: "😞", cry: "😢", sob: "😭", angry: "😠", rage: "😡", scream: "😱", sweat_smile: "😅",
  heart: "❤️", "+1": "👍", thumbsup: "👍", "-1": "👎", thumbsdown: "👎", clap: "👏", wave: "👋", pray: "🙏",
  tada: "🎉", fire: "🔥", eyes: "👀", rocket: "🚀", star: "⭐", sparkles: "✨", bulb: "💡", warning: "⚠️",
  white_check_mark: "✅", x: "❌", heavy_check_mark: "✔️", hourglass: "⌛", hourglass_flowing_sand: "⏳",
  robot_face: "🤖", speech_balloon: "💬", thought_balloon: "💭", bar_chart: "📊", chart_with_upwards_trend: "📈",
  gear: "⚙️", lock: "🔒", wastebasket: "🗑️", memo: "📝", mag: "🔍", zap: "⚡", repeat: "🔁", octagonal_sign: "🛑",
  stop_sign: "🛑", raised_hands: "🙌", information_source: "ℹ️", question: "❓", exclamation: "❗", ok_hand: "👌",
};

export const emoji = (name) => EMOJI[name] ?? `:${name}:`;
export const withEmoji = (text) => text.replace(/:([a-z0-9_+-]+):/g, (whole, name) => EMOJI[name] ?? whole);
