"""Short texts in many languages, written for this purpose, and the encodings they are tried in."""

# ruff: noqa: E501 - letters of other alphabets are intended
from __future__ import annotations

import unicodedata

TEXTS = {
    "en": "The café at the corner had been closed since Easter, and the naïve young clerk, who wished to pay his £5, waited in vain. “Is nobody here?” he asked — and the cat’s answer was a yawn. An old man came down the hill with a basket of apples, sat upon the wall, and told him that the owner had gone to the sea with her fiancé and would not be back before the autumn.",
    "de": "Der Müller saß früh am Morgen vor der Tür und zählte die Säcke. „Heute kommt niemand mehr“, sagte seine Frau, die schon über den Hof gegangen war, um die Hühner zu füttern. Später fiel Regen, und die Straße nach Köln wurde so weich, daß kein Wagen fahren konnte. Die größte Sorge aber war das Mehl, das im Keller naß zu werden drohte.",
    "fr": "Le gardien du phare descendit l'escalier et regarda longtemps la mer. Le vent était faible et les barques de pêche rentraient lentement vers la côte. Personne ne parlait, car chacun savait que la tempête viendrait cette nuit-là. Le vieil homme alluma la lampe, s'assit près de la fenêtre et commença une lettre à sa fille, qu'il n'avait pas vue depuis dix ans; où était-elle? Son cœur le savait déjà.",
    "es": "La mañana en que el señor Núñez volvió al pueblo, nadie salió a la calle. ¿Quién podía acordarse de él después de tantos años? El panadero, que había sido su compañero en la escuela, cerró la puerta sin decir adiós. Más tarde, cuando ya caía el sol, una niña le llevó agua y pan, y le contó que su casa también había ardido aquel otoño.",
    "pt": "O faroleiro desceu a escada e olhou longamente para o mar. O vento era fraco e os barcos de pesca voltavam devagar para a praia. Ninguém falava, porque todos sabiam que naquela noite viria a tempestade. O velho acendeu a lâmpada, sentou-se à janela e começou a escrever uma carta à filha, que não via há dez anos; as estações, os corações e as ilusões não mudam.",
    "it": "La vecchia maestra non aveva più voglia di parlare della città. Perché tornare là, diceva, se ogni cosa è cambiata? Però ogni lunedì scendeva al porto, comprava un po' di caffè e aspettava la barca di Nicolò. La verità è che nessuno sapeva chi fosse, né da dove venisse, e così la curiosità dei vicini cresceva.",
    "nl": "De reünie van de oude bemanning begon om één uur in het café aan de haven. Niemand had geïnformeerd of de kapitein nog leefde, maar iedereen hoopte het. Toen hij eindelijk binnenkwam, met zijn twee zoons en een mand vol paling, werd het stil. Hij zei dat hij de zee niet meer kon zien, maar haar nog altijd hoorde; de ideeën van vroeger waren verdwenen.",
    "sv": "Fyrvaktaren gick nedför trappan och såg länge ut över havet. Vinden var svag och fiskebåtarna vände långsamt åter mot land. Ingen talade, ty alla visste att stormen skulle komma den natten. Den gamle mannen tände lampan, satte sig vid fönstret och började skriva ett brev till sin dotter, som han inte hade sett på tio år.",
    "da": "Fyrpasseren gik ned ad trappen og så længe ud over havet. Vinden var svag, og fiskerbådene vendte langsomt tilbage til kysten. Ingen talte, for alle vidste, at stormen ville komme den nat. Den gamle mand tændte lampen, satte sig ved vinduet og begyndte at skrive et brev til sin datter, som han ikke havde set i ti år. Æblerne lå på bordet, og øllet var varmt.",
    "no": "Læreren bodde øverst i bakken, i et hus som hadde stått tomt siden krigen. Hver lørdag gikk han ned til brygga for å høre om båten hadde kommet. Ingen spurte hva han ventet på, men alle så at han ble gråere for hvert år. En kveld kom det et brev, og da han hadde lest det, gikk han rett ut på isen og ropte på sin sønn.",
    "fi": "Majakanvartija laskeutui portaita ja katseli kauan merta. Tuuli oli heikko ja kalastajien veneet palasivat hitaasti rantaan. Kukaan ei puhunut, sillä jokainen tiesi, että sinä yönä tulisi myrsky. Vanha mies sytytti lampun, istuutui ikkunan ääreen ja alkoi kirjoittaa kirjettä tyttärelleen, jota hän ei ollut nähnyt kymmeneen vuoteen.",
    "is": "Vitavörðurinn gekk niður stigann og horfði lengi á hafið. Vindurinn var hægur og fiskibátarnir sneru hægt til lands. Enginn talaði, því að allir vissu að þá nótt kæmi stormur. Gamli maðurinn kveikti á lampanum, settist við gluggann og byrjaði að skrifa bréf til dóttur sinnar, sem hann hafði ekki séð í tíu ár.",
    "pl": "Latarnik zszedł po schodach i długo patrzył na morze. Wiatr był słaby, a łodzie rybackie wracały powoli do brzegu. Nikt się nie odzywał, bo każdy wiedział, że tej nocy przyjdzie sztorm. Stary człowiek zapalił lampę, usiadł przy oknie i zaczął pisać list do córki, której nie widział od dziesięciu lat.",
    "cs": "Strážce majáku sešel po schodech a dlouho se díval na moře. Vítr byl slabý a rybářské lodě se pomalu vracely ke břehu. Nikdo nemluvil, protože každý věděl, že té noci přijde bouře. Starý muž rozsvítil lampu, posadil se k oknu a začal psát dopis dceři, kterou neviděl deset let, neboť žila daleko.",
    "sk": "Starý mlynár mal tri dcéry a jedného psa. Keď prišla jar, ľudia z dediny sa chodievali pozerať na rieku, ktorá sa rozliala až po kostol. Najstaršia dcéra hovorila, že voda vezme mlyn, prostredná mlčala a najmladšia sa smiala, lebo nevedela, čo je strach. V noci však počuli, ako sa kolesá zastavili, a ráno bolo všetko tiché.",
    "hu": "A világítótorony őre lement a lépcsőn, és sokáig nézte a tengert. Gyenge szél fújt, a halászhajók lassan tértek vissza a partra. Senki sem szólt egy szót sem, mert mindenki tudta, hogy éjjel vihar jön. Az öreg ember meggyújtotta a lámpát, leült az ablakhoz, és levelet kezdett írni a lányának, akit tíz éve nem látott, és akinek hűtlensége őt bántotta.",
    "ro": "Paznicul farului a coborât scările şi a privit îndelung marea. Vântul era slab, iar bărcile pescarilor se întorceau încet spre ţărm. Nimeni nu vorbea, căci fiecare ştia că în noaptea aceea va veni furtuna. Bătrânul a aprins lampa, s-a aşezat la fereastră şi a început să scrie o scrisoare fiicei sale, pe care nu o văzuse de zece ani.",
    "hr": "Čuvar svjetionika sišao je niz stepenice i dugo gledao more. Vjetar je bio slab, a ribarski čamci polako su se vraćali prema obali. Nitko nije govorio jer je svatko znao da će te noći doći oluja. Starac je upalio svjetiljku, sjeo kraj prozora i počeo pisati pismo kćeri koju nije vidio deset godina.",
    "sl": "Čevljar je živel v zadnji hiši ob cesti, kjer se začne gozd. Vsako jutro je odprl okno in poslušal, če že prihaja poštar. Nihče v vasi ni vedel, koga čaka, le stara Neža je trdila, da mu bo pisal sin, ki je šel čez morje. Ko je zapadel sneg, je pismo res prišlo, toda čevljar ga ni znal brati.",
    "tr": "Deniz fenerinin bekçisi merdivenlerden indi ve uzun süre denize baktı. Rüzgâr hafifti, balıkçı tekneleri ağır ağır kıyıya dönüyordu. Kimse konuşmuyordu, çünkü o gece fırtına çıkacağını herkes biliyordu. Yaşlı adam lambayı yaktı, pencerenin önüne oturdu ve on yıldır görmediği kızına bir mektup yazmaya başladı. İçinde eski bir sızı vardı.",
    "et": "Majakavaht läks trepist alla ja vaatas kaua merd. Tuul oli nõrk ja kalapaadid tulid aeglaselt randa tagasi. Keegi ei rääkinud, sest igaüks teadis, et sel ööl tuleb torm. Vana mees süütas lambi, istus akna äärde ja hakkas kirjutama kirja tütrele, keda ta polnud kümme aastat näinud; õhtu jõudis kätte.",
    "lv": "Bākas sargs nokāpa pa kāpnēm un ilgi raudzījās jūrā. Vējš bija lēns, un zvejnieku laivas gausi atgriezās krastā. Neviens nerunāja, jo katrs zināja, ka šajā naktī būs vētra. Vecais vīrs iededza lampu, apsēdās pie loga un sāka rakstīt vēstuli meitai, kuru nebija redzējis desmit gadus. Viņš domāja par savu māju un ķiršu dārzu.",
    "lt": "Švyturio sargas nulipo laiptais ir ilgai žiūrėjo į jūrą. Vėjas buvo silpnas, o žvejų valtys lėtai grįžo į krantą. Niekas nekalbėjo, nes kiekvienas žinojo, kad tą naktį ateis audra. Senis uždegė lempą, atsisėdo prie lango ir pradėjo rašyti laišką dukteriai, kurios nebuvo matęs dešimt metų. Jis mąstė apie savo namus ir obelų sodą.",
    "eo": "La gardisto de la lumturo malsupreniris la ŝtuparon kaj longe rigardis la maron. La vento estis malforta, kaj la boatoj de la fiŝkaptistoj malrapide revenis al la bordo. Neniu parolis, ĉar ĉiu sciis, ke en tiu nokto venos ŝtormo. La maljunulo eklumigis la lampon, sidiĝis ĉe la fenestro kaj komencis skribi leteron al sia filino, kiun li ne vidis de antaŭ dek jaroj.",
    "mt": "Il-gwardjan tal-fanal niżel it-taraġ u qagħad iħares lejn il-baħar għal ħin twil. Ir-riħ kien ħafif u d-dgħajjes tas-sajjieda kienu qegħdin jerġgħu bil-mod lejn ix-xatt. Ħadd ma tkellem, għax kulħadd kien jaf li dak il-lejl kienet ġejja maltempata. Ix-xiħ xegħel il-lampa, poġġa ħdejn it-tieqa u beda jikteb ittra lil bintu, li ma kienx raha għal għaxar snin.",
    "sq": "Roja e farit zbriti shkallët dhe vështroi gjatë detin. Era ishte e lehtë dhe varkat e peshkatarëve ktheheshin ngadalë në breg. Askush nuk fliste, sepse secili e dinte që atë natë do të vinte stuhia. Plaku ndezi llambën, u ul pranë dritares dhe filloi t'i shkruante një letër së bijës, të cilën nuk e kishte parë prej dhjetë vjetësh.",
    "vi": "Người gác ngọn hải đăng bước xuống cầu thang và nhìn ra biển rất lâu. Gió nhẹ, những chiếc thuyền đánh cá chậm rãi trở về bờ. Không ai nói gì, vì ai cũng biết đêm ấy bão sẽ đến. Ông già thắp đèn, ngồi xuống bên cửa sổ và bắt đầu viết thư cho con gái mà ông đã không gặp mười năm nay.",
    "ru": "Смотритель маяка спустился по лестнице и долго глядел на море. Ветер был слабый, и рыбачьи лодки медленно возвращались к берегу. Никто не говорил ни слова, потому что каждый знал, что этой ночью придёт буря. Старик зажёг лампу, сел у окна и начал писать письмо дочери, которую не видел десять лет.",
    "uk": "Доглядач маяка зійшов сходами вниз і довго дивився на море. Вітер був слабкий, і рибальські човни поволі верталися до берега. Ніхто не говорив, бо кожен знав, що цієї ночі прийде буря. Старий засвітив лампу, сів біля вікна й почав писати листа доньці, якої не бачив десять років. Її обличчя він уже майже забув.",
    "bg": "Пазачът на фара слезе по стълбите и дълго гледа морето. Вятърът беше слаб и рибарските лодки бавно се връщаха към брега. Никой не говореше, защото всеки знаеше, че тази нощ ще дойде буря. Старецът запали лампата, седна до прозореца и започна да пише писмо на дъщеря си, която не беше виждал от десет години.",
    "sr": "Чувар светионика сишао је низ степенице и дуго гледао море. Ветар је био слаб, а рибарски чамци полако су се враћали према обали. Нико није говорио, јер је свако знао да ће те ноћи доћи олуја. Старац је упалио светиљку, сео крај прозора и почео да пише писмо кћери коју није видео десет година.",
    "be": "Вартаўнік маяка спусціўся па лесвіцы і доўга глядзеў на мора. Вецер быў слабы, і рыбацкія лодкі павольна вярталіся да берага. Ніхто не гаварыў, бо кожны ведаў, што гэтай ноччу прыйдзе бура. Стары запаліў лямпу, сеў каля акна і пачаў пісаць ліст дачцэ, якую не бачыў дзесяць гадоў.",
    "el": "Ο φύλακας του φάρου κατέβηκε τη σκάλα και κοίταξε πολλή ώρα τη θάλασσα. Ο άνεμος ήταν ασθενής και οι βάρκες των ψαράδων γύριζαν αργά στην ακτή. Κανείς δεν μιλούσε, γιατί ο καθένας ήξερε ότι εκείνη τη νύχτα θα ερχόταν η καταιγίδα. Ο γέρος άναψε τη λάμπα, κάθισε στο παράθυρο και άρχισε να γράφει ένα γράμμα στην κόρη του, που δεν την είχε δει δέκα χρόνια.",
    "he": "שומר המגדלור ירד במדרגות והביט זמן רב אל הים. הרוח היתה חלשה וסירות הדייגים חזרו לאט אל החוף. איש לא דיבר, כי כל אחד ידע שבאותו לילה תבוא הסערה. הזקן הדליק את המנורה, ישב ליד החלון והתחיל לכתוב מכתב אל בתו, אשר לא ראה אותה זה עשר שנים.",
    "ar": "نزل حارس المنارة على السلم ونظر طويلا إلى البحر. كانت الريح خفيفة وعادت قوارب الصيادين ببطء إلى الشاطئ. لم يتكلم أحد، لأن كل واحد كان يعلم أن العاصفة ستأتي في تلك الليلة. أشعل الشيخ المصباح وجلس قرب النافذة وبدأ يكتب رسالة إلى ابنته التي لم يرها منذ عشر سنوات.",
    "fa": "نگهبان فانوس درياى از پله ها پايين آمد و مدت درازى به دريا نگاه کرد. باد آرام بود و قايقهاى ماهيگيران آهسته به ساحل برمى گشتند. هيچ کس حرفى نمى زد، چون همه مى دانستند که آن شب توفان خواهد آمد. پيرمرد چراغ را روشن کرد، کنار پنجره نشست و شروع به نوشتن نامه اى براى دخترش کرد که ده سال او را نديده بود.",
    "th": "คนเฝ้าประภาคารเดินลงบันไดและมองดูทะเลอยู่นาน ลมพัดเบา เรือประมงค่อย ๆ กลับเข้าฝั่ง ไม่มีใครพูดอะไร เพราะทุกคนรู้ว่าคืนนั้นพายุจะมา ชายชราจุดตะเกียง นั่งลงข้างหน้าต่าง และเริ่มเขียนจดหมายถึงลูกสาวที่เขาไม่ได้พบมาสิบปีแล้ว",
    "ja": "灯台守は階段を降りて、長いあいだ海を眺めていた。風は弱く、漁船はゆっくりと岸へ戻ってきた。誰も話さなかった。その夜に嵐が来ることを、みんな知っていたからである。老人はランプに火をつけ、窓のそばに坐って、十年も会っていない娘に手紙を書きはじめた。",
    "zh-hans": "看守灯塔的人走下楼梯，看了很久的海。风很小，渔船慢慢地回到岸边。没有人说话，因为大家都知道这天夜里会有大风。老人点起了灯，坐在窗前，开始给他的女儿写信，他已经有十年没有见到她了。他想起从前的日子，心里又高兴又难过。",
    "zh-hant": "看守燈塔的人走下樓梯，看了很久的海。風很小，漁船慢慢地回到岸邊。沒有人說話，因為大家都知道這天夜裡會有大風。老人點起了燈，坐在窗前，開始給他的女兒寫信，他已經有十年沒有見到她了。他想起從前的日子，心裡又高興又難過。",
    "ko": "등대지기는 계단을 내려와 오랫동안 바다를 바라보았다. 바람은 약했고 고기잡이배들은 천천히 물가로 돌아오고 있었다. 아무도 말하지 않았다. 그날 밤에 폭풍이 올 것을 모두 알고 있었기 때문이다. 노인은 등불을 켜고 창가에 앉아 십 년 동안 만나지 못한 딸에게 편지를 쓰기 시작했다.",
}
"""About 300 characters a language; Persian in the letters that Windows-1256 has."""

_WESTERN = ("cp1252", "iso8859-15", "cp850", "mac_roman")
_CENTRAL = ("cp1250", "iso8859-2", "cp852", "mac_latin2")
_BALTIC = ("cp1257", "iso8859-13", "iso8859-4", "cp775")
_CYRILLIC = ("cp1251", "koi8-r", "iso8859-5", "cp866", "mac_cyrillic")
_UNICODE = ("utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-16", "utf-32-le")

ENCODINGS: dict[str, tuple[str, ...]] = {
    "en": ("cp1252", "cp850", "mac_roman"),
    **dict.fromkeys(("de", "fr", "es", "pt", "it", "nl", "sv", "da", "no", "fi"), _WESTERN),
    "is": ("cp1252", "iso8859-15", "cp850", "mac_iceland"),
    "sq": ("cp1252", "iso8859-15"),
    **dict.fromkeys(("pl", "cs", "sk", "hu"), _CENTRAL),
    "ro": ("cp1250", "iso8859-2", "cp852"),
    "hr": ("cp1250", "iso8859-2", "cp852", "mac_latin2"),
    "sl": ("cp1250", "iso8859-2", "cp852"),
    "tr": ("cp1254", "iso8859-9", "cp857", "mac_turkish"),
    "et": ("cp1257", "cp1252", "iso8859-13", "cp775"),
    **dict.fromkeys(("lv", "lt"), _BALTIC),
    "eo": ("iso8859-3",),
    "mt": ("iso8859-3",),
    "vi": ("cp1258",),
    "ru": _CYRILLIC,
    "uk": ("cp1251", "koi8-u", "iso8859-5", "cp1125"),
    "bg": ("cp1251", "iso8859-5", "cp866", "mac_cyrillic"),
    "sr": ("cp1251", "iso8859-5", "cp855"),
    "be": ("cp1251", "iso8859-5"),
    "el": ("cp1253", "iso8859-7", "cp737", "mac_greek"),
    "he": ("cp1255", "iso8859-8", "cp862"),
    "ar": ("cp1256", "iso8859-6"),
    "fa": ("cp1256",),
    "th": ("cp874", "tis-620"),
    "ja": ("shift_jis", "euc_jp", "iso2022_jp"),
    "zh-hans": ("gb18030", "gbk", "hz"),
    "zh-hant": ("big5", "gb18030", "big5hkscs"),
    "ko": ("euc_kr", "johab", "iso2022_kr"),
}
"""Encodings with one or several bytes a character in which each language was written."""

for _language in ENCODINGS:
    ENCODINGS[_language] += _UNICODE

_SUBSTITUTES = {"“": '"', "”": '"', "„": '"', "’": "'", "—": "-", "œ": "oe", "£": "L"}
_VIETNAMESE_LETTER_MARKS = "\u0302\u0306\u031b"


def encode_text(text: str, encoding: str) -> tuple[str, bytes]:
    """Return a text as it can be written in an encoding, and its bytes.

    Signs that a code page lacks are typed as on an old typewriter. Windows-1258 has the tones of
    Vietnamese as combining marks.
    """
    if encoding == "cp1258":
        decomposed = "".join(map(_separate_tone, text))
        return text, decomposed.encode(encoding)
    try:
        return text, text.encode(encoding)
    except UnicodeEncodeError:
        for sign, substitute in _SUBSTITUTES.items():
            text = text.replace(sign, substitute)
        return text, text.encode(encoding)


def _separate_tone(letter: str) -> str:
    base, *marks = list(unicodedata.normalize("NFD", letter))
    of_letter = [mark for mark in marks if mark in _VIETNAMESE_LETTER_MARKS]
    tones = [mark for mark in marks if mark not in _VIETNAMESE_LETTER_MARKS]
    return unicodedata.normalize("NFC", "".join([base, *of_letter])) + "".join(tones)
