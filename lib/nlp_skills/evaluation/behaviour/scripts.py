"""Traditional and Simplified characters for each other, where one stands for exactly one.

Characters that have several partners (后 for 後 and 后, 发 for 發 and 髮, 里 for 裡 and 里) are left as they are: which
one is meant needs a dictionary of words. Frequent pairs that are unique both ways, written by hand: of each pair one
side is in GB 2312 and the other in Big5 only.
"""

from __future__ import annotations

TRADITIONAL = (
    "們這來時會說國對過學開還沒長問見經頭電樣動現點氣個話車東書馬門語買賣錢飯館訂單號碼電腦網絡機場醫藥葉銀"
    "帳戶貨幣價額費員務報紙聞視聽讀寫記憶認識讓請謝謝應該應當難關係聯絡給種類傳統總結組織線紅綠絲綿練習經濟貝責貴"
    "賓質購貸貿資訊評論訴訟議證詞試驗課調談課誰誤誠詳語魚鳥雞鴨鵝龍龜齒齊風飛餓飲馳騎驚體魯鮮麥黃點歲勞動勢"
    "區協單嚴園圓圍壓壞塊壽夢奪奮婦媽孫寧實審寫寶將專導層屬島嶺師帶幫廟廠廣廳強彈彎態慣慶憲懷戀戰戲擇擊擔據擁"
    "損換攝斷無舊晝暈曉條楊極構槍樓標樹橋檢櫃權歡殘殺毀決沖淚淺測渾湯溝滅滯滿漁漢漲潔潛潤澤濃濕灣災為爐爭愛"
    "牆獎獨獲獻環瓊產畢畫異瘋療盜盡監盤睜確磚礎禮禍禪稅稱穀穩窮竊競筆節範築簡籃籌糧純紋納級細紹終統絕綁維綜"
)
SIMPLIFIED = (
    "们这来时会说国对过学开还没长问见经头电样动现点气个话车东书马门语买卖钱饭馆订单号码电脑网络机场医药叶银"
    "帐户货币价额费员务报纸闻视听读写记忆认识让请谢谢应该应当难关系联络给种类传统总结组织线红绿丝绵练习经济贝责贵"
    "宾质购贷贸资讯评论诉讼议证词试验课调谈课谁误诚详语鱼鸟鸡鸭鹅龙龟齿齐风飞饿饮驰骑惊体鲁鲜麦黄点岁劳动势"
    "区协单严园圆围压坏块寿梦夺奋妇妈孙宁实审写宝将专导层属岛岭师带帮庙厂广厅强弹弯态惯庆宪怀恋战戏择击担据拥"
    "损换摄断无旧昼晕晓条杨极构枪楼标树桥检柜权欢残杀毁决冲泪浅测浑汤沟灭滞满渔汉涨洁潜润泽浓湿湾灾为炉争爱"
    "墙奖独获献环琼产毕画异疯疗盗尽监盘睁确砖础礼祸禅税称谷稳穷窃竞笔节范筑简篮筹粮纯纹纳级细绍终统绝绑维综"
)
_AMBIGUOUS = set("谷范筑尽冲系获")
"""Simplified characters above that are Traditional ones of their own, or partners of two."""


def _pairs() -> dict[str, str]:
    pairs = dict(zip(TRADITIONAL, SIMPLIFIED, strict=True))
    return {t: s for t, s in pairs.items() if t != s and s not in _AMBIGUOUS}


TO_SIMPLIFIED = _pairs()
TO_TRADITIONAL = {simplified: traditional for traditional, simplified in TO_SIMPLIFIED.items()}


def other_script(text: str) -> str:
    """The text in Simplified characters where it holds more Traditional ones, otherwise the other way."""
    traditional = sum(letter in TO_SIMPLIFIED for letter in text)
    simplified = sum(letter in TO_TRADITIONAL for letter in text)
    table = TO_SIMPLIFIED if traditional > simplified else TO_TRADITIONAL
    return "".join(table.get(letter, letter) for letter in text)
