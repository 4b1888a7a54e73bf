// Every word the page says, in each of its languages. Elements name theirs by data-t (their text),
// data-t-label, data-t-placeholder or data-t-alt.

export const WORDS = {
  en: {
    "language": "English", "close": "Close", "connected": "Connected",
    "help.open": "Keys", "help.title": "Keys, buttons and gestures", "help.command": "What it does", "help.key": "Key",
    "help.button": "Gamepad", "help.gesture": "Gesture", "help.moving": "Keys that move the arm",
    "help.keyboard": "The keys that move the arm", "help.gamepad": "What moves the arm on a gamepad",
    "help.digits": "Hold 1–7 with ↑ or ↓: that joint alone.",
    "help.hand": "Hold a gesture until the ring is full. While engaged, pinch to close the gripper.",
    "help.leader": "Move the leader arm by hand; the robot follows from where it stands.",
    "help.spacemouse": "Push, pull and turn the cap; its buttons close and open the gripper.",
    "help.replay": "A recorded episode is played again, step by step.",
    "help.phone": "Thumb on the field and drag: forward, back, left, right. Hold Tilt: up, down, roll.",
    "watch.text": "Someone else drives. You are watching.", "watch.drive": "Take the wheel",
    "watch.free": "Nobody drives. You are watching.",
    "state.label": "State", "cameras.label": "Cameras", "actions.label": "Commands",
    "phase.connecting": "Connecting", "phase.connecting.hint": "One moment.",
    "phase.lost": "No link to the robot", "phase.lost.hint": "The arm holds. Calling again by itself.",
    "phase.ready": "Ready", "phase.ready.hint": "Start when you are; engage to try the arm first.",
    "phase.countdown": "Get ready", "phase.countdown.hint": "Hands to the device.",
    "phase.recording": "Recording", "phase.recording.hint": "Show the task; stop when it is done.",
    "phase.running": "Running", "phase.running.hint": "The policy moves the arm.",
    "phase.correcting": "Recording", "phase.correcting.hint": "The policy works; take over where it goes wrong.",
    "phase.review": "Review", "phase.review.hint": "Was it good? Keep it, do it again, or discard it.",
    "phase.moving": "Moving to the start", "phase.moving.hint": "Keep your hands away from the arm.",
    "phase.fault": "Stopped", "phase.fault.hint": "Look at the arm, then reset.",
    "phase.finished": "Finished", "phase.finished.hint": "Everything is saved. You may close this page.",
    "who.person": "You decide", "who.policy": "Policy decides",
    "command.start": "Start", "command.stop": "End episode", "command.hold": "Hold", "command.cancel": "Cancel", "command.keep": "Keep", "command.success": "Success",
    "command.failure": "Failure", "command.redo": "Redo", "command.discard": "Discard", "command.engage": "Engage",
    "command.release": "Release", "command.take": "Take over", "command.give_back": "Give back", "command.home": "Go home",
    "command.finish": "Finish", "command.reset": "Reset", "command.estop": "STOP",
    "episodes.label": "Episodes", "episodes.progress": "Episodes recorded", "episodes.count": "{done} of {wanted}",
    "episodes.none": "Episodes appear here as you record them.",
    "episodes.one": "Episode {number}: {verdict}, {seconds} s, {steps} steps",
    "verdict.kept": "kept", "verdict.success": "success", "verdict.failure": "failure",
    "verdict.discarded": "discarded", "verdict.pending": "to judge",
    "verdict.now": "recording",
    "device.label": "Device", "device.choose": "Choose a device", "device.engaged": "Engaged", "device.released": "Released",
    "agent.keyboard": "Keyboard", "agent.gamepad": "Gamepad", "agent.spacemouse": "SpaceMouse", "agent.leader": "Leader arm",
    "agent.phone": "Phone", "agent.hand": "Hand gestures", "agent.replay": "Replay", "agent.policy": "Policy",
    "key.forward": "forward", "key.back": "back", "key.left": "left", "key.right": "right", "key.up": "up", "key.down": "down",
    "key.open": "open", "key.close": "close", "key.lift": "tip up", "key.lower": "tip down", "key.rollLeft": "roll ↺",
    "key.rollRight": "roll ↻", "key.fine": "slow and fine",
    "pad.plane": "in the plane", "pad.height": "height, roll",
    "gesture.engage": "engage", "gesture.release": "release", "gesture.record": "start, stop", "gesture.keep": "keep",
    "gesture.discard": "discard", "gesture.mark": "mark", "gesture.held": "Gesture held", "gesture.open_palm": "Open palm", "gesture.fist": "Fist",
    "gesture.victory": "Victory", "gesture.thumb_up": "Thumb up", "gesture.thumb_down": "Thumb down", "gesture.pointing": "Pointing",
    "webcam.start": "Use this camera", "webcam.none": "This computer has no camera; plug one in and try again.",
    "webcam.denied": "The browser may not use the camera; allow it beside the address and try again.",
    "webcam.busy": "Another program uses the camera; close it and try again.",
    "webcam.insecure": "A browser gives its camera only to https or localhost; open the page by its https address.",
    "webcam.gone": "The camera was unplugged; plug it in and start it again.", "webcam.failed": "The camera could not be started; try another one.",
    "phone.label": "Phone", "phone.field": "Touch and drag to move the arm", "phone.drag": "Touch and drag",
    "phone.tilt": "Hold to tilt", "phone.gripper": "Gripper", "phone.use": "Drive with this phone",
    "phone.space": "Move the phone in space", "phone.noSpace": "This browser does not know where the phone is; drag and tilt instead.",
    "phone.insecure": "A browser tells the tilt only to https pages; scan the code of the panel again.",
    "phone.denied": "The browser may not read the tilt; load the page again and allow it.", "phone.noSensor": "This device has no tilt sensor; drag instead.",
    "robot.label": "Robot", "robot.target": "gripper to {place} mm",
    "episode.label": "This episode", "task.label": "Task", "task.hint": "What is shown, in a sentence",
    "note.label": "Note", "note.hint": "Anything worth remembering", "note.kept": "Noted.",
    "health.label": "Health", "health.drops": "Dropped frames", "health.late": "Late steps", "health.disk": "Disk left",
    "health.latency": "Key to picture", "disk.minutes": "{minutes} min", "disk.hours": "{hours} h",
    "marks.label": "Point at", "marks.hint": "Point in the picture:", "marks.finger": "Point with your index finger and hold still:",
    "marks.object": "object", "marks.place": "place",
    "marks.surface": "Point with the arrow keys, Enter to mark",
    "invite.open": "Phone", "invite.title": "Open on a phone", "invite.text": "Scan it with the phone's camera. It works once.",
    "invite.code": "QR code of the panel's address",
  },
  zh: {
    "language": "中文", "close": "关闭", "connected": "已连接",
    "help.open": "按键", "help.title": "按键、手柄与手势", "help.command": "作用", "help.key": "按键",
    "help.button": "手柄", "help.gesture": "手势", "help.moving": "控制机械臂的按键",
    "help.keyboard": "控制机械臂的按键", "help.gamepad": "用手柄控制机械臂",
    "help.digits": "按住 1–7 再按 ↑ 或 ↓：单独移动该关节。",
    "help.hand": "保持手势直到圆环填满。接合后捏合手指即可闭合夹爪。",
    "help.leader": "用手带动主臂，机器人从当前位置开始跟随。",
    "help.spacemouse": "推、拉、旋转帽头；两侧按钮控制夹爪开合。",
    "help.replay": "逐步重放一段已录制的示教。",
    "help.phone": "拇指按住触控区并拖动：前后左右。按住倾斜键：升降与旋转。",
    "watch.text": "他人正在操作，您正在观看。", "watch.drive": "接管操作",
    "watch.free": "无人操作，您正在观看。",
    "state.label": "状态", "cameras.label": "相机", "actions.label": "操作",
    "phase.connecting": "正在连接", "phase.connecting.hint": "请稍候。",
    "phase.lost": "与机器人的连接已断开", "phase.lost.hint": "机械臂保持不动，正在自动重连。",
    "phase.ready": "就绪", "phase.ready.hint": "随时可以开始；也可先接合试动机械臂。",
    "phase.countdown": "准备", "phase.countdown.hint": "请把手放到操作设备上。",
    "phase.recording": "录制中", "phase.recording.hint": "演示任务，完成后停止。",
    "phase.running": "运行中", "phase.running.hint": "策略正在控制机械臂。",
    "phase.correcting": "录制中", "phase.correcting.hint": "策略正在工作；出错时请接管。",
    "phase.review": "评判", "phase.review.hint": "这次好吗？保留、重做或丢弃。",
    "phase.moving": "正在回到起点", "phase.moving.hint": "请勿靠近机械臂。",
    "phase.fault": "已停止", "phase.fault.hint": "检查机械臂，然后复位。",
    "phase.finished": "已完成", "phase.finished.hint": "全部已保存，可以关闭此页面。",
    "who.person": "由您控制", "who.policy": "由策略控制",
    "command.start": "开始", "command.stop": "结束本段", "command.hold": "暂停", "command.cancel": "取消", "command.keep": "保留", "command.success": "成功",
    "command.failure": "失败", "command.redo": "重做", "command.discard": "丢弃", "command.engage": "接合",
    "command.release": "松开", "command.take": "接管", "command.give_back": "交还", "command.home": "回原位",
    "command.finish": "结束", "command.reset": "复位", "command.estop": "急停",
    "episodes.label": "示教", "episodes.progress": "已录制的示教", "episodes.count": "{done} / {wanted}",
    "episodes.none": "录制的示教会显示在这里。",
    "episodes.one": "示教 {number}：{verdict}，{seconds} 秒，{steps} 步",
    "verdict.kept": "已保留", "verdict.success": "成功", "verdict.failure": "失败",
    "verdict.discarded": "已丢弃", "verdict.pending": "待评判",
    "verdict.now": "录制中",
    "device.label": "设备", "device.choose": "选择设备", "device.engaged": "已接合", "device.released": "已松开",
    "agent.keyboard": "键盘", "agent.gamepad": "手柄", "agent.spacemouse": "三维鼠标", "agent.leader": "主臂",
    "agent.phone": "手机", "agent.hand": "手势", "agent.replay": "重放", "agent.policy": "策略",
    "key.forward": "前", "key.back": "后", "key.left": "左", "key.right": "右", "key.up": "上", "key.down": "下",
    "key.open": "张开", "key.close": "闭合", "key.lift": "抬指", "key.lower": "压指", "key.rollLeft": "旋 ↺",
    "key.rollRight": "旋 ↻", "key.fine": "慢速微调",
    "pad.plane": "平面移动", "pad.height": "升降、旋转",
    "gesture.engage": "接合", "gesture.release": "松开", "gesture.record": "开始、停止", "gesture.keep": "保留",
    "gesture.discard": "丢弃", "gesture.mark": "标记", "gesture.held": "手势保持", "gesture.open_palm": "张开手掌", "gesture.fist": "握拳",
    "gesture.victory": "剪刀手", "gesture.thumb_up": "拇指向上", "gesture.thumb_down": "拇指向下", "gesture.pointing": "指向",
    "webcam.start": "使用此摄像头", "webcam.none": "未找到摄像头；请接上后重试。",
    "webcam.denied": "浏览器未获准使用摄像头；请在地址栏旁允许后重试。",
    "webcam.busy": "摄像头正被其他程序占用；请关闭该程序后重试。",
    "webcam.insecure": "浏览器只在 https 或 localhost 页面开放摄像头；请用 https 地址打开。",
    "webcam.gone": "摄像头已断开；请接上后重新启动。", "webcam.failed": "摄像头无法启动；请换一个试试。",
    "phone.label": "手机", "phone.field": "触摸并拖动以移动机械臂", "phone.drag": "触摸并拖动",
    "phone.tilt": "按住倾斜", "phone.gripper": "夹爪", "phone.use": "用这部手机操作",
    "phone.space": "在空间中移动手机", "phone.noSpace": "此浏览器无法获知手机位置；请改用拖动与倾斜。",
    "phone.insecure": "浏览器只向 https 页面提供倾斜数据；请重新扫描面板上的二维码。",
    "phone.denied": "浏览器未获准读取倾斜数据；请重新打开页面并允许。", "phone.noSensor": "此设备没有倾斜传感器；请改用拖动。",
    "robot.label": "机器人", "robot.target": "夹爪至 {place} 毫米",
    "episode.label": "本段示教", "task.label": "任务", "task.hint": "用一句话描述任务",
    "note.label": "备注", "note.hint": "值得记录的事", "note.kept": "已记录。",
    "health.label": "运行状况", "health.drops": "丢帧", "health.late": "迟到步数", "health.disk": "剩余磁盘",
    "health.latency": "按键到画面", "disk.minutes": "{minutes} 分钟", "disk.hours": "{hours} 小时",
    "marks.label": "指点", "marks.hint": "在画面中指点：", "marks.finger": "用食指指向并保持不动：",
    "marks.object": "物体", "marks.place": "位置",
    "marks.surface": "用方向键移动，回车标记",
    "invite.open": "手机", "invite.title": "在手机上打开", "invite.text": "用手机相机扫描，仅可使用一次。",
    "invite.code": "面板地址的二维码",
  },
};

const STORED = "demoloop.language";
const TAGS = { en: "en", zh: "zh-Hans" };

let language = "en";

export const t = (key, values = {}) =>
  (WORDS[language][key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name]);

export const other = () => (language === "en" ? "zh" : "en");

// The language a person chose before, or else the one their browser speaks.
export function firstLanguage() {
  let chosen = null;
  try {
    chosen = localStorage.getItem(STORED);
  } catch {
    // A browser that keeps nothing asks again each time.
  }
  return WORDS[chosen] ? chosen : navigator.language.startsWith("zh") ? "zh" : "en";
}

export function speak(name, isChosen = false) {
  language = name;
  document.documentElement.lang = TAGS[name];
  try {
    if (isChosen) localStorage.setItem(STORED, name);
  } catch {
    // as above
  }
  translate(document);
}

export function translate(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-label]")) element.setAttribute("aria-label", t(element.dataset.tLabel));
  for (const element of root.querySelectorAll("[data-t-placeholder]")) element.placeholder = t(element.dataset.tPlaceholder);
  for (const element of root.querySelectorAll("[data-t-alt]")) element.alt = t(element.dataset.tAlt);
}
