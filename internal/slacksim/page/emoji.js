// emoji.js knows the shortcodes that people use most. Others stay as text.

const table = `
grinning 😀 smiley 😃 smile 😄 grin 😁 laughing 😆 sweat_smile 😅 joy 😂 rofl 🤣 slightly_smiling_face 🙂
upside_down_face 🙃 wink 😉 blush 😊 innocent 😇 heart_eyes 😍 star-struck 🤩 kissing_heart 😘 yum 😋
stuck_out_tongue 😛 zany_face 🤪 hugging_face 🤗 thinking_face 🤔 zipper_mouth_face 🤐 neutral_face 😐
expressionless 😑 smirk 😏 unamused 😒 face_with_rolling_eyes 🙄 grimacing 😬 relieved 😌 pensive 😔
sleepy 😪 sleeping 😴 mask 😷 nerd_face 🤓 sunglasses 😎 partying_face 🥳 confused 😕 worried 😟 open_mouth 😮
flushed 😳 pleading_face 🥺 cry 😢 sob 😭 scream 😱 disappointed 😞 sweat 😓 weary 😩 tired_face 😫
angry 😠 rage 😡 exploding_head 🤯 skull 💀 ghost 👻 alien 👽 robot_face 🤖 see_no_evil 🙈
+1 👍 thumbsup 👍 -1 👎 thumbsdown 👎 clap 👏 raised_hands 🙌 pray 🙏 handshake 🤝 muscle 💪 wave 👋 ok_hand 👌
v ✌️ crossed_fingers 🤞 point_up ☝️ point_right 👉 point_left 👈 point_down 👇 eyes 👀 brain 🧠 facepalm 🤦 shrug 🤷
heart ❤️ orange_heart 🧡 yellow_heart 💛 green_heart 💚 blue_heart 💙 purple_heart 💜 broken_heart 💔
fire 🔥 sparkles ✨ star ⭐ star2 🌟 zap ⚡ boom 💥 tada 🎉 confetti_ball 🎊 balloon 🎈 gift 🎁 trophy 🏆 medal 🏅
rocket 🚀 airplane ✈️ car 🚗 ship 🚢 bug 🐛 ant 🐜 cat 🐱 dog 🐶 unicorn_face 🦄 penguin 🐧 turtle 🐢 snail 🐌
coffee ☕ tea 🍵 beer 🍺 pizza 🍕 cake 🍰 cookie 🍪 apple 🍎 sunny ☀️ cloud ☁️ umbrella ☔ snowflake ❄️ rainbow 🌈
white_check_mark ✅ heavy_check_mark ✔️ ballot_box_with_check ☑️ x ❌ no_entry ⛔ no_entry_sign 🚫 warning ⚠️
question ❓ exclamation ❗ bangbang ‼️ 100 💯 information_source ℹ️ red_circle 🔴 large_green_circle 🟢
large_yellow_circle 🟡 large_blue_circle 🔵 white_circle ⚪ hourglass ⌛ hourglass_flowing_sand ⏳ stopwatch ⏱️
alarm_clock ⏰ calendar 📅 date 📅 spiral_calendar_pad 🗓️ memo 📝 pencil 📝 pencil2 ✏️ clipboard 📋 pushpin 📌 round_pushpin 📍
paperclip 📎 link 🔗 lock 🔒 unlock 🔓 key 🔑 closed_lock_with_key 🔐 shield 🛡️ mag 🔍 bulb 💡 wrench 🔧 hammer 🔨
gear ⚙️ package 📦 inbox_tray 📥 outbox_tray 📤 email 📧 envelope ✉️ mailbox 📫 bell 🔔 no_bell 🔕 loudspeaker 📢
mega 📣 speech_balloon 💬 thought_balloon 💭 chart_with_upwards_trend 📈 chart_with_downwards_trend 📉 bar_chart 📊
computer 💻 iphone 📱 floppy_disk 💾 file_folder 📁 page_facing_up 📄 books 📚 book 📖 bookmark 🔖 label 🏷️ moneybag 💰
arrow_right ➡️ arrow_left ⬅️ arrow_up ⬆️ arrow_down ⬇️ repeat 🔁 arrows_counterclockwise 🔄 heavy_plus_sign ➕
heavy_minus_sign ➖ one 1️⃣ two 2️⃣ three 3️⃣ four 4️⃣ five 5️⃣ checkered_flag 🏁 triangular_flag_on_post 🚩 construction 🚧
rotating_light 🚨 traffic_light 🚥 earth_africa 🌍 globe_with_meridians 🌐 seedling 🌱 palm_tree 🌴 sos 🆘 new 🆕 ok 🆗`;

const words = table.trim().split(/\s+/);
const byName = new Map();
for (let i = 0; i < words.length; i += 2) byName.set(words[i], words[i + 1]);

/** emoji is the character of a shortcode without colons, or undefined. */
export const emoji = (name) => byName.get(name.replace(/::skin-tone-\d$/, ''));

/** common are the reactions that the picker offers. */
export const common = ['+1', '-1', 'eyes', 'white_check_mark', 'x', 'tada', 'heart', 'joy', 'pray', 'clap', 'raised_hands', 'wave',
  'rocket', 'fire', 'thinking_face', 'bulb', 'warning', '100', 'bug', 'hourglass_flowing_sand', 'memo', 'coffee', 'sob', 'sparkles'];
